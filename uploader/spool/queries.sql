-- Every statement of the ledger, by name. A comment after the name gives the edge of the state
-- table that the statement is; its guard (`AND state = …`) makes it do nothing in any other state.

-- name: columns
SELECT seq, id, kind, name, target, overwrite, size, crc32c, source_mtime, run, rank, state,
       waiting_on, not_before, attempts, error_class, error, enqueued_at, finished_at, session,
       part_size, receipt, cancel_requested
  FROM upload

-- name: start  (ready -> active; the + keeps the planner from walking over all that is ready)
UPDATE upload SET state = 'active', not_before = 0, touched = 1
 WHERE seq IN (SELECT value FROM json_each(:seqs)) AND +state = 'ready' AND +waiting_on IS NULL

-- name: finish  (active -> done; receipts by seq)
UPDATE upload SET state = 'done', finished_at = :now,
                  receipt = json_extract(:receipts, '$."' || seq || '"'), attempts = attempts + 1,
                  error_class = NULL, error = NULL, session = NULL, touched = 0
 WHERE seq IN (SELECT value FROM json_each(:seqs)) AND +state = 'active'

-- name: put_back  (active -> ready)
UPDATE upload SET state = 'ready', not_before = :not_before, attempts = attempts + :counted,
                  error_class = :error_class, error = :error
 WHERE seq = :seq AND state = 'active'

-- name: fail  (active -> dead)
UPDATE upload SET state = 'dead', finished_at = :now, attempts = attempts + 1,
                  error_class = :error_class, error = :error, cancel_requested = 0
 WHERE seq = :seq AND state = 'active'

-- name: cancel_waiting  (ready -> cancelled, dead -> cancelled)
UPDATE upload SET state = 'cancelled', finished_at = :now, waiting_on = NULL
 WHERE seq = :seq AND state IN ('ready', 'dead')

-- name: request_cancel
UPDATE upload SET cancel_requested = 1 WHERE seq = :seq AND state = 'active'

-- name: cancel_active  (active -> cancelled)
UPDATE upload SET state = 'cancelled', finished_at = :now
 WHERE seq = :seq AND state = 'active'

-- name: supersede_dead  (dead -> superseded)
UPDATE upload SET state = 'superseded', finished_at = :now
 WHERE seq = :seq AND state = 'dead'

-- name: revive  (dead -> ready)
UPDATE upload SET state = 'ready', finished_at = NULL, not_before = 0, attempts = 0,
                  error_class = NULL, error = NULL
 WHERE seq = :seq AND state = 'dead'

-- name: newer_version
SELECT 1 FROM upload WHERE name = :name AND seq > :seq AND state IN ('ready', 'active')
UNION ALL
SELECT 1 FROM upload WHERE name = :name AND seq > :seq AND state IN ('done', 'dead') AND state = 'done'
LIMIT 1

-- name: older_dead
SELECT dead.seq, dead.id FROM upload JOIN upload dead INDEXED BY upload_dead
 WHERE upload.seq IN (SELECT value FROM json_each(:seqs)) AND dead.name = upload.name
   AND dead.state = 'dead' AND dead.seq < upload.seq AND dead.overwrite = 1

-- name: dead_links_to
SELECT seq FROM upload
 WHERE state = 'dead' AND kind = 'symlink' AND target = :name AND seq > :seq

-- name: live_name
SELECT 1 FROM upload WHERE name = :name AND state IN ('ready', 'active') LIMIT 1

-- name: ready_versions
SELECT id FROM upload WHERE name = :name AND state = 'ready' AND kind = 'file'

-- name: replaceable_bytes
SELECT coalesce(sum(size), 0) FROM upload
 WHERE name = :name AND state IN ('ready', 'active') AND +state = 'ready' AND session IS NULL

-- name: record_session
UPDATE upload SET session = :session, part_size = :part_size WHERE seq = :seq AND state = 'active'

-- name: record_checksum
UPDATE upload SET crc32c = :crc32c WHERE seq = :seq AND state = 'active'

-- name: record_part
INSERT INTO part (seq, number, size, mark) VALUES (:seq, :number, :size, :mark)
ON CONFLICT (seq, number) DO UPDATE SET size = excluded.size, mark = excluded.mark

-- name: forget_parts
DELETE FROM part WHERE seq = :seq

-- name: parts
SELECT number, size, mark FROM part WHERE seq = :seq ORDER BY number

-- name: untidy
SELECT seq FROM upload INDEXED BY upload_untidy
 WHERE touched = 1 AND state IN ('superseded', 'cancelled', 'dead')
   AND (state <> 'dead' OR error_class IN ('permanent', 'conflict', 'damaged'))
 ORDER BY seq LIMIT :limit

-- name: tidied
UPDATE upload SET touched = 0, session = NULL, part_size = NULL
 WHERE seq = :seq AND state IN ('superseded', 'cancelled', 'dead')

-- name: fresh
SELECT seq FROM upload INDEXED BY upload_startable
 WHERE state = 'ready' AND waiting_on IS NULL AND not_before = 0
 ORDER BY seq LIMIT :limit

-- name: due
SELECT seq FROM upload INDEXED BY upload_startable
 WHERE state = 'ready' AND waiting_on IS NULL AND not_before > 0 AND not_before <= :now
 ORDER BY not_before, seq LIMIT :limit

-- name: due_after_clock_jump
SELECT seq FROM upload INDEXED BY upload_startable
 WHERE state = 'ready' AND waiting_on IS NULL AND not_before > :horizon
 ORDER BY not_before, seq LIMIT :limit

-- name: newest  (from the new end, past at most :look rows that may not start: a bound, and no scan)
SELECT seq
  FROM (SELECT seq, waiting_on, not_before FROM upload INDEXED BY upload_state
         WHERE state = 'ready' ORDER BY seq DESC LIMIT :look)
 WHERE waiting_on IS NULL AND (not_before <= :now OR not_before > :horizon)
 ORDER BY seq DESC LIMIT :limit

-- name: fresh_newest
SELECT seq FROM upload INDEXED BY upload_startable
 WHERE state = 'ready' AND waiting_on IS NULL AND not_before = 0
 ORDER BY seq DESC LIMIT :limit

-- name: begun  (by one seek for each upload that has parts)
WITH RECURSIVE begun (seq) AS (
  SELECT max(seq) FROM part
  UNION ALL
  SELECT (SELECT max(part.seq) FROM part WHERE part.seq < begun.seq)
    FROM begun WHERE begun.seq IS NOT NULL LIMIT :limit)
SELECT upload.seq FROM begun CROSS JOIN upload ON upload.seq = begun.seq
 WHERE +state = 'ready' AND +waiting_on IS NULL AND (not_before <= :now OR not_before > :horizon)

-- name: due_between
SELECT seq FROM upload INDEXED BY upload_startable
 WHERE state = 'ready' AND waiting_on IS NULL AND not_before > :after AND not_before <= :until
 LIMIT 1

-- name: sent
SELECT seq, sum(size) FROM part WHERE seq IN (SELECT value FROM json_each(:seqs)) GROUP BY seq

-- name: active
SELECT seq FROM upload WHERE state = 'active'

-- name: cancel_requests
SELECT seq FROM upload WHERE state = 'active' AND cancel_requested = 1

-- name: tally
SELECT state, uploads, bytes FROM tally

-- name: oldest_ready
SELECT enqueued_at FROM upload WHERE state = 'ready' ORDER BY seq LIMIT 1

-- name: parts_sent
SELECT coalesce(sum(p.size), 0) FROM part p JOIN upload u ON u.seq = p.seq
 WHERE u.state IN ('ready', 'active')

-- name: ready_ends
SELECT (SELECT seq FROM upload INDEXED BY upload_state WHERE state = 'ready' ORDER BY seq LIMIT 1),
       (SELECT seq FROM upload INDEXED BY upload_state WHERE state = 'ready' ORDER BY seq DESC LIMIT 1)

-- name: ready_from
SELECT seq, CAST(enqueued_at AS REAL) FROM upload INDEXED BY upload_state
 WHERE state = 'ready' AND seq >= :seq ORDER BY seq LIMIT 1

-- name: ready_between
SELECT count(*), coalesce(sum(CAST(size AS INTEGER)), 0) FROM (
  SELECT size FROM upload INDEXED BY upload_state
   WHERE state = 'ready' AND seq >= :first AND seq < :after ORDER BY seq LIMIT :limit)

-- name: held
SELECT count(*) FROM (
  SELECT 1 FROM upload INDEXED BY upload_waiting WHERE waiting_on IS NOT NULL LIMIT :limit)

-- name: retrying
SELECT count(*) FROM (
  SELECT 1 FROM upload INDEXED BY upload_startable
   WHERE state = 'ready' AND waiting_on IS NULL AND not_before > 0 LIMIT :limit)

-- name: next_retries
SELECT seq FROM upload INDEXED BY upload_startable
 WHERE state = 'ready' AND waiting_on IS NULL AND not_before > 0
 ORDER BY not_before, seq LIMIT :limit

-- name: progress
SELECT u.seq, count(p.number), coalesce(sum(p.size), 0)
  FROM upload u LEFT JOIN part p ON p.seq = u.seq
 WHERE u.state = 'active' GROUP BY u.seq

-- name: holds_bytes
SELECT 1 FROM upload WHERE id = :id AND state IN ('ready', 'active', 'dead')

-- name: knows
SELECT 1 FROM upload WHERE id = :id

-- name: journal_names
SELECT 1 FROM ack_queue_journal WHERE instr(CAST(data AS TEXT), :id) LIMIT 1

-- name: stuck
UPDATE upload
   SET waiting_on = (SELECT max(b.seq) FROM upload b
                      WHERE b.name IN (upload.name, upload.target) AND b.seq < upload.seq
                        AND b.state IN ('ready', 'active'))
 WHERE waiting_on IS NOT NULL AND +state = 'ready'
   AND NOT EXISTS (SELECT 1 FROM upload b
                    WHERE b.seq = upload.waiting_on AND b.state IN ('ready', 'active'))

-- name: versions
SELECT seq FROM upload WHERE name = :name AND state IN ('ready', 'active')
UNION ALL
SELECT seq FROM upload WHERE name = :name AND state IN ('done', 'dead')
ORDER BY 1 DESC

-- name: current_done
SELECT max(seq) FROM upload WHERE state = 'done' AND name GLOB :glob GROUP BY name ORDER BY 1

-- name: reap
DELETE FROM upload WHERE seq IN (
  SELECT seq FROM upload
   WHERE state = :state AND finished_at < :before
     AND NOT EXISTS (SELECT 1 FROM upload dead      -- its retry must see that it is an older version
                      WHERE dead.name = upload.name AND dead.state = 'dead'
                        AND dead.seq < upload.seq)
   ORDER BY seq LIMIT :limit)
