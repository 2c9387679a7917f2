-- Files that `uploader watch` has spooled, each as it was then (from version 2 on).
--
-- A row is written in the transaction of the put, so that a file is known if, and only if, its
-- artifact was taken in, whoever is killed when.

CREATE TABLE watched (
  path       BLOB PRIMARY KEY CHECK (typeof(path) = 'blob'),  -- absolute; a path need not be text
  mark       TEXT NOT NULL,                    -- inode, size and mtime of what was spooled
  upload     TEXT NOT NULL,                    -- the upload's id
  gone_since REAL                              -- when the file was first missed
) WITHOUT ROWID;

CREATE INDEX watched_gone ON watched (gone_since) WHERE gone_since IS NOT NULL;

-- Two that watch one directory never spool one file twice.
CREATE TRIGGER watched_once BEFORE INSERT ON watched
WHEN EXISTS (SELECT 1 FROM watched known WHERE known.path = NEW.path AND known.mark = NEW.mark)
BEGIN
  SELECT RAISE(ABORT, 'file is known');
END;
