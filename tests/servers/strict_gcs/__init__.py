"""Serve Google Cloud Storage's JSON API on this machine, strictly, for tests.

No emulator that installs from a package does resumable sessions with preconditions right. This one
is written from the API's documentation; each file's docstring says what it holds to, and what it
chose where the documentation is silent. It is no oracle: what only it shows is shown of our reading
of that documentation.

- Preconditions everywhere, decided under one lock: of a race for a name one wins.
- Checksums that a client tells are compared, and nothing is stored that has others.
- Sessions that go on after a kill of the client, or of this server.
- Rewrites that take several calls, composes, lists by pages, refusals in GCS's form.
- Quick, since uploads are measured against it: bodies are written in pieces of 256 KiB, copies and
  composes link files. MD5 is left out of objects above 8 MiB whose client told none.

What it does not have: versions, holds, retention, soft delete, lists by delimiter, gRPC, batches,
customer-supplied keys, transcoding; nothing is encrypted by the key that is named. `fields` and
`alt` are ignored but for `alt=media`.

Python's standard library and google-crc32c are all it needs.
"""
