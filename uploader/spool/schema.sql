-- The ledger: our tables beside persist-queue's journal, in one file.
--
-- `ack_queue_journal` (persist-queue's) holds an artifact from its commit to its ack. Triggers
-- carry each new row into `upload` in the same transaction, so a producer needs nothing but put().
-- Everything that must hold whoever writes, and whoever is killed, is stated here, not in Python:
-- which transitions exist, who waits for whom, what is superseded, what is too much.

CREATE TABLE spool (
  key   TEXT PRIMARY KEY,
  value TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE upload (
  seq              INTEGER PRIMARY KEY,        -- the journal's row id: enqueue order
  id               TEXT NOT NULL UNIQUE CHECK (length(id) = 32 AND id NOT GLOB '*[^0-9a-f]*'),
  kind             TEXT NOT NULL CHECK (kind IN ('file', 'symlink')),
  name             TEXT NOT NULL,
  target           TEXT,
  overwrite        INTEGER NOT NULL CHECK (overwrite IN (0, 1)),
  size             INTEGER CHECK (size >= 0),
  crc32c           INTEGER,
  source_mtime     REAL,
  run              TEXT NOT NULL,
  rank             INTEGER NOT NULL,
  state            TEXT NOT NULL DEFAULT 'ready'
                   CHECK (state IN ('ready', 'active', 'done', 'dead', 'superseded', 'cancelled')),
  waiting_on       INTEGER,                    -- the newest earlier live upload it must wait for
  not_before       REAL NOT NULL DEFAULT 0,
  attempts         INTEGER NOT NULL DEFAULT 0,
  error_class      TEXT CHECK (error_class IN
                   ('transient', 'throttled', 'auth', 'permanent', 'conflict', 'damaged')),
  error            TEXT,
  enqueued_at      REAL NOT NULL,
  finished_at      REAL,
  session          TEXT,                       -- the store's name for an upload in parts; secret on some
  part_size        INTEGER,                    -- bytes; fixed with the session, so that a resume cuts alike
  receipt          TEXT,
  cancel_requested INTEGER NOT NULL DEFAULT 0,
  touched          INTEGER NOT NULL DEFAULT 0, -- a step of it was begun: the store may hold a piece
  CHECK ((kind = 'symlink') = (target IS NOT NULL)),
  CHECK ((kind = 'file') = (size IS NOT NULL)),
  CHECK ((state IN ('ready', 'active')) = (finished_at IS NULL)),
  CHECK ((state = 'done') = (receipt IS NOT NULL)),
  CHECK (state <> 'dead' OR (error_class IS NOT NULL AND error IS NOT NULL)),
  CHECK (waiting_on < seq)                     -- waits go backwards only, so they never form a ring
);

-- What may start, in the order in which it may: fresh rows (not_before = 0) by age, then retries.
CREATE INDEX upload_startable ON upload (not_before, seq) WHERE state = 'ready' AND waiting_on IS NULL;
CREATE INDEX upload_live_name ON upload (name, seq) WHERE state IN ('ready', 'active');
CREATE INDEX upload_live_target ON upload (target, seq)
  WHERE state IN ('ready', 'active') AND target IS NOT NULL;
CREATE INDEX upload_waiting ON upload (waiting_on) WHERE waiting_on IS NOT NULL;
CREATE INDEX upload_ended_name ON upload (name, seq) WHERE state IN ('done', 'dead');
CREATE INDEX upload_dead ON upload (name, seq) WHERE state = 'dead';
CREATE INDEX upload_state ON upload (state, seq);

-- What ended without arriving, and may have left a piece at the store.
CREATE INDEX upload_untidy ON upload (seq)
  WHERE touched = 1 AND state IN ('superseded', 'cancelled', 'dead');

CREATE TABLE part (                            -- parts the store has, of uploads not yet finished
  seq     INTEGER NOT NULL,
  number  INTEGER NOT NULL,
  size    INTEGER NOT NULL,
  mark    TEXT NOT NULL,
  PRIMARY KEY (seq, number)
) WITHOUT ROWID;

CREATE TABLE tally (                           -- counts over the spool's life: status needs no scan
  state   TEXT PRIMARY KEY,
  uploads INTEGER NOT NULL DEFAULT 0,
  bytes   INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
INSERT INTO tally (state) VALUES ('ready'), ('active'), ('done'), ('dead'), ('superseded'), ('cancelled');

-- put(): the journal row becomes an upload, or the whole put is refused.
CREATE TRIGGER journal_put AFTER INSERT ON ack_queue_journal BEGIN
  INSERT INTO upload (seq, id, kind, name, target, overwrite, size, crc32c, source_mtime, run, rank, enqueued_at)
    SELECT NEW._id,
           json_extract(item, '$.id'),
           json_extract(item, '$.kind'),
           json_extract(item, '$.name'),
           json_extract(item, '$.target'),
           json_extract(item, '$.overwrite'),
           json_extract(item, '$.size'),
           json_extract(item, '$.crc32c'),
           json_extract(item, '$.source_mtime'),
           json_extract(item, '$.run'),
           json_extract(item, '$.rank'),
           NEW.timestamp
      FROM (SELECT CAST(NEW.data AS TEXT) AS item);
END;

CREATE TRIGGER upload_insert AFTER INSERT ON upload BEGIN
  -- create-only: no second artifact of a name that has yet to end
  SELECT RAISE(ABORT, 'name is pending')
   WHERE NEW.overwrite = 0
     AND EXISTS (SELECT 1 FROM upload b
                  WHERE b.name = NEW.name AND b.state IN ('ready', 'active') AND b.seq < NEW.seq);
  UPDATE tally SET uploads = uploads + 1, bytes = bytes + coalesce(NEW.size, 0) WHERE state = NEW.state;

  -- ready -> superseded: versions of which nothing was sent, unless a symlink logged after one,
  -- and before the next version, still waits for it. (So a symlink only ever waits for what was
  -- enqueued before it, and waits cannot form a ring.)
  UPDATE upload SET state = 'superseded', finished_at = NEW.enqueued_at, waiting_on = NULL
   WHERE NEW.overwrite = 1
     AND seq IN (SELECT older.seq FROM upload older    -- by name, never by a scan of all that is ready
                  WHERE older.name = NEW.name AND older.state IN ('ready', 'active')
                    AND +older.state = 'ready' AND older.session IS NULL AND older.seq < NEW.seq)
     AND NOT EXISTS (SELECT 1 FROM upload link
                      WHERE link.target = upload.name AND link.state IN ('ready', 'active')
                        AND link.seq > upload.seq
                        AND link.seq < (SELECT min(next.seq) FROM upload next
                                         WHERE next.name = upload.name AND next.seq > upload.seq
                                           AND next.state IN ('ready', 'active')));
  -- the limit, after what was superseded gave its room back
  SELECT RAISE(ABORT, 'spool is full')
   WHERE NEW.size > 0
     AND (SELECT sum(bytes) FROM tally WHERE state IN ('ready', 'active', 'dead'))
         > (SELECT CAST(value AS INTEGER) FROM spool WHERE key = 'max_bytes');
  UPDATE upload
     SET waiting_on = (SELECT max(b.seq) FROM upload b
                        WHERE b.name IN (NEW.name, NEW.target) AND b.seq < NEW.seq
                          AND b.state IN ('ready', 'active'))
   WHERE seq = NEW.seq;
END;

CREATE TRIGGER upload_transition BEFORE UPDATE OF state ON upload
WHEN OLD.state || '>' || NEW.state NOT IN (
  'ready>active', 'ready>superseded', 'ready>cancelled',
  'active>done', 'active>ready', 'active>dead', 'active>cancelled',
  'dead>ready', 'dead>superseded', 'dead>cancelled')
BEGIN
  SELECT RAISE(ABORT, 'illegal transition');
END;

CREATE TRIGGER upload_moved AFTER UPDATE OF state ON upload BEGIN
  UPDATE tally SET uploads = uploads - 1, bytes = bytes - coalesce(OLD.size, 0) WHERE state = OLD.state;
  UPDATE tally SET uploads = uploads + 1, bytes = bytes + coalesce(NEW.size, 0) WHERE state = NEW.state;
END;

-- An end lets those that waited go on, or wait for the next one before them.
CREATE TRIGGER upload_ended AFTER UPDATE OF state ON upload
WHEN OLD.state IN ('ready', 'active') AND NEW.state NOT IN ('ready', 'active')
BEGIN
  UPDATE upload
     SET waiting_on = (SELECT max(b.seq) FROM upload b
                        WHERE b.name IN (upload.name, upload.target) AND b.seq < upload.seq
                          AND b.state IN ('ready', 'active'))
   WHERE waiting_on = OLD.seq;
  -- the journal keeps a dead letter's row for its retry; every other end is its ack
  DELETE FROM ack_queue_journal WHERE _id = OLD.seq AND NEW.state <> 'dead';
  DELETE FROM part WHERE seq = OLD.seq AND NEW.state <> 'dead';
END;

-- A dead letter that is given up.
CREATE TRIGGER upload_given_up AFTER UPDATE OF state ON upload
WHEN OLD.state = 'dead' AND NEW.state <> 'ready'
BEGIN
  DELETE FROM ack_queue_journal WHERE _id = OLD.seq;
  DELETE FROM part WHERE seq = OLD.seq;
END;

-- A dead letter that lives again goes before everything of its name that was logged after it.
CREATE TRIGGER upload_revived AFTER UPDATE OF state ON upload
WHEN OLD.state = 'dead' AND NEW.state = 'ready'
BEGIN
  UPDATE upload
     SET waiting_on = (SELECT max(b.seq) FROM upload b
                        WHERE b.name IN (NEW.name, NEW.target) AND b.seq < NEW.seq
                          AND b.state IN ('ready', 'active'))
   WHERE seq = NEW.seq;
  UPDATE upload SET waiting_on = NEW.seq
   WHERE seq > NEW.seq AND state = 'ready' AND coalesce(waiting_on, 0) < NEW.seq
     AND seq IN (SELECT seq FROM upload WHERE name = NEW.name AND state IN ('ready', 'active')
                 UNION ALL
                 SELECT seq FROM upload WHERE target = NEW.name AND state IN ('ready', 'active'));
END;
