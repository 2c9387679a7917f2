PRAGMA application_id = 1095914579;
PRAGMA user_version = 1;
BEGIN TRANSACTION;
CREATE TABLE `ack_queue_journal` (_id INTEGER PRIMARY KEY AUTOINCREMENT, data BLOB, timestamp FLOAT, status INTEGER);
INSERT INTO "ack_queue_journal" VALUES(2,X'7B226964223A20223031613230386633336161616162383565363330383331646561633866316164222C20226B696E64223A202266696C65222C20226E616D65223A2022636B70742F6570322E7074222C20226F7665727772697465223A20302C202272756E223A2022222C202272616E6B223A20302C202273697A65223A20342C2022736F757263655F6D74696D65223A20313739353434363438372E3732323436352C2022637263333263223A20313732393830373836392C2022626C6F636B223A20313034383537362C2022626C6F636B73223A20225A7872462F513D3D227D',1.79544648772849917408e+09,9);
INSERT INTO "ack_queue_journal" VALUES(4,X'7B226964223A20223031613230386633336163333234653462306638326537353162386539346661222C20226B696E64223A202266696C65222C20226E616D65223A2022686F74222C20226F7665727772697465223A20312C202272756E223A2022222C202272616E6B223A20302C202273697A65223A20352C2022736F757263655F6D74696D65223A20313739353434363438372E373437363934332C2022637263333263223A20323239393233343739352C2022626C6F636B223A20313034383537362C2022626C6F636B73223A20226951754A36773D3D227D',1.7954464877508263588e+09,0);
INSERT INTO "ack_queue_journal" VALUES(6,X'7B226964223A20223031613230386633336165393535663433623839316530666262623536383065222C20226B696E64223A202273796D6C696E6B222C20226E616D65223A2022636B70742F6C6174657374222C20226F7665727772697465223A20312C202272756E223A2022222C202272616E6B223A20302C2022746172676574223A2022636B70742F6570312E7074227D',1.79544648778602552409e+09,0);
INSERT INTO "ack_queue_journal" VALUES(7,X'7B226964223A20223031613230386633336166373465343835306139343134643665356162363037222C20226B696E64223A202266696C65222C20226E616D65223A2022626967222C20226F7665727772697465223A20302C202272756E223A2022222C202272616E6B223A20302C202273697A65223A20333030302C2022736F757263655F6D74696D65223A20313739353434363438372E373939323134382C2022637263333263223A20323830353938303139392C2022626C6F636B223A20313034383537362C2022626C6F636B73223A2022707A2F634A773D3D227D',1.79544648780856633185e+09,2);
CREATE TABLE part (                            -- parts the store has, of uploads not yet finished
  seq     INTEGER NOT NULL,
  number  INTEGER NOT NULL,
  size    INTEGER NOT NULL,
  mark    TEXT NOT NULL,
  PRIMARY KEY (seq, number)
) WITHOUT ROWID;
INSERT INTO "part" VALUES(7,1,1000,'m');
CREATE TABLE spool (
  key   TEXT PRIMARY KEY,
  value TEXT NOT NULL
) WITHOUT ROWID;
INSERT INTO "spool" VALUES('destination','file:///there');
INSERT INTO "spool" VALUES('options','{}');
CREATE TABLE tally (                           -- counts over the spool's life: status needs no scan
  state   TEXT PRIMARY KEY,
  uploads INTEGER NOT NULL DEFAULT 0,
  bytes   INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
INSERT INTO "tally" VALUES('active',1,3000);
INSERT INTO "tally" VALUES('cancelled',1,9);
INSERT INTO "tally" VALUES('dead',1,4);
INSERT INTO "tally" VALUES('done',1,7);
INSERT INTO "tally" VALUES('ready',2,5);
INSERT INTO "tally" VALUES('superseded',1,5);
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
INSERT INTO "upload" VALUES(1,'01a208f33a7877136ca90033658f0019','file','ckpt/ep1.pt',NULL,0,7,2080429113,1.79544648767219495772e+09,'',0,'done',NULL,0.0,1,NULL,NULL,1.79544648768383121491e+09,1.79544648771524500844e+09,NULL,NULL,'{"etag":"274029-18eab51160fda7f9","size":7,"crc32c":2080429113,"time":1795446487.7151685,"version":null}',0,0);
INSERT INTO "upload" VALUES(2,'01a208f33aaaab85e630831deac8f1ad','file','ckpt/ep2.pt',NULL,0,4,1729807869,1.79544648772246503835e+09,'',0,'dead',NULL,0.0,1,'permanent','said the store',1.79544648772849917408e+09,1.79544648773544788362e+09,NULL,NULL,NULL,0,1);
INSERT INTO "upload" VALUES(3,'01a208f33abd96e242be877cbcf1de20','file','hot',NULL,1,5,9933536,1.79544648774140739441e+09,'',0,'superseded',NULL,0.0,0,NULL,NULL,1.79544648774349689486e+09,1.7954464877508263588e+09,NULL,NULL,NULL,0,0);
INSERT INTO "upload" VALUES(4,'01a208f33ac324e4b0f82e751b8e94fa','file','hot',NULL,1,5,2299234795,1.7954464877476942539e+09,'',0,'ready',NULL,0.0,0,NULL,NULL,1.7954464877508263588e+09,NULL,NULL,NULL,NULL,0,0);
INSERT INTO "upload" VALUES(5,'01a208f33ad513016270871d3221c63f','file','given/up',NULL,0,9,4207338498,1.79544648776481819158e+09,'',0,'cancelled',NULL,0.0,0,NULL,NULL,1.79544648777160668375e+09,1.79544648777687478068e+09,NULL,NULL,NULL,0,0);
INSERT INTO "upload" VALUES(6,'01a208f33ae955f43b891e0fbbb5680e','symlink','ckpt/latest','ckpt/ep1.pt',1,NULL,NULL,NULL,'',0,'ready',NULL,0.0,0,NULL,NULL,1.79544648778602552409e+09,NULL,NULL,NULL,NULL,0,0);
INSERT INTO "upload" VALUES(7,'01a208f33af74e4850a9414d6e5ab607','file','big',NULL,0,3000,2805980199,1.79544648779921483996e+09,'',0,'active',NULL,0.0,0,NULL,NULL,1.79544648780856633185e+09,NULL,'s',1000,NULL,0,1);
CREATE INDEX upload_startable ON upload (not_before, seq) WHERE state = 'ready' AND waiting_on IS NULL;
CREATE INDEX upload_live_name ON upload (name, seq) WHERE state IN ('ready', 'active');
CREATE INDEX upload_live_target ON upload (target, seq)
  WHERE state IN ('ready', 'active') AND target IS NOT NULL;
CREATE INDEX upload_waiting ON upload (waiting_on) WHERE waiting_on IS NOT NULL;
CREATE INDEX upload_ended_name ON upload (name, seq) WHERE state IN ('done', 'dead');
CREATE INDEX upload_dead ON upload (name, seq) WHERE state = 'dead';
CREATE INDEX upload_state ON upload (state, seq);
CREATE INDEX upload_untidy ON upload (seq)
  WHERE touched = 1 AND state IN ('superseded', 'cancelled', 'dead');
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
CREATE TRIGGER upload_given_up AFTER UPDATE OF state ON upload
WHEN OLD.state = 'dead' AND NEW.state <> 'ready'
BEGIN
  DELETE FROM ack_queue_journal WHERE _id = OLD.seq;
  DELETE FROM part WHERE seq = OLD.seq;
END;
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
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('ack_queue_journal',7);
COMMIT;
