"""Fills a spool with pending uploads, fast: rows as put() would have made them; or with done ones.

- Straight into the journal's table in few, unsynced transactions; the triggers fire as usual, so
  that the ledger, its indexes and its tally are what a million calls of put() would have left.
- Every row is a file of no bytes, logged without overwrite, under a name of its own.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from uploader.model import Receipt
from uploader.spool.layout import FILE_MODE

if TYPE_CHECKING:
    from uploader.spool.spool import Spool

BATCH = 50_000  #: rows a transaction; bounds the write-ahead log
TOGETHER = 250  #: uploads that are finished by one statement: it looks each up in one document

#: A step's number as it is, or scattered over 32 bits: Knuth's multiplicative hash, one to one.
NAME_NUMBERS = {"ascending": "n", "scattered": "(n * 2654435761) % 4294967296"}

_SEED = """
WITH RECURSIVE row(n) AS (SELECT :first UNION ALL SELECT n + 1 FROM row WHERE n < :last)
INSERT INTO ack_queue_journal (data, timestamp, status)
SELECT CAST(json_object(
         'id', printf('%012x', :milliseconds + n / 100) || lower(hex(randomblob(10))),
         'kind', 'file', 'name', printf('run/step%010d/x.pt', NUMBER),
         'overwrite', 0, 'run', 'run', 'rank', 0, 'size', 0, 'source_mtime', 1.0,
         'crc32c', 0, 'block', 1048576, 'blocks', '') AS BLOB),
       :timestamp, 0
  FROM row
"""


def seed(spool: Spool, rows: int, names: str = "ascending") -> None:
    """Add `rows` pending uploads; `names` is a key of `NAME_NUMBERS`."""
    journal = spool._journal
    statement = _SEED.replace("NUMBER", NAME_NUMBERS[names])
    now = time.time()
    journal.execute("PRAGMA synchronous=OFF")
    for first in range(0, rows, BATCH):
        journal.execute(
            statement,
            {
                "first": first,
                "last": min(first + BATCH, rows) - 1,
                "milliseconds": int(now * 1000) - rows // 100,
                "timestamp": now,
            },
        )
    journal.execute("PRAGMA synchronous=FULL")
    journal.rows("PRAGMA wal_checkpoint(TRUNCATE)")


def finish_oldest(spool: Spool, count: int) -> None:
    """Have the `count` oldest pending uploads done, by the ledger's own moves."""
    spool._journal.execute("PRAGMA synchronous=OFF")
    while count:
        chosen = spool.uploads(state="ready", limit=min(count, TOGETHER))
        spool.ledger.start_all(chosen)
        spool.ledger.finish_all([(upload, Receipt("etag", 0, 0, 1.0)) for upload in chosen])
        count -= len(chosen)
    spool._journal.execute("PRAGMA synchronous=FULL")
    spool._journal.rows("PRAGMA wal_checkpoint(TRUNCATE)")


def give_bytes(spool: Spool, count: int) -> None:
    """Make the (empty) blobs of the `count` oldest pending uploads: these can be uploaded."""
    for upload in spool.uploads(state="ready", limit=count):
        spool.layout.blob(upload.id).touch(FILE_MODE)
