"""Stand in for the supervisor, in this process: an upload arrives, or dies, when a test says so."""

from __future__ import annotations

import pathlib

from uploader import Spool, Upload
from uploader.drain.steps import Link, PutWhole, Step
from uploader.errors import ErrorClass
from uploader.model import PutMode, SymlinkMode
from uploader.spool import staging
from uploader.store.base import ObjectMeta
from uploader.store.body import Body
from uploader.store.local import LocalStore


class Place:
    """A spool with a local destination."""

    def __init__(self, folder: pathlib.Path, form: SymlinkMode = SymlinkMode.NATIVE) -> None:
        self.folder = folder
        self.remote = folder / "remote"
        self.spool = Spool(folder / "spool", self.remote.as_uri(), producer=False)
        self.store = LocalStore(str(self.remote))
        self._form = form

    def put(self, name: str, content: bytes | str, *, overwrite: bool = False) -> str:
        """Spool a file."""
        source = self.folder / "source"
        source.write_bytes(content if isinstance(content, bytes) else content.encode())
        return self.spool.put_file(name, source, overwrite=overwrite)

    def link(self, existing: str, name: str, *, overwrite: bool = False) -> str:
        """Spool a symlink."""
        return self.spool.put_symlink(existing, name, overwrite=overwrite)

    def arrive(self, upload_id: str) -> None:
        """Do what the supervisor and a worker do for one upload."""
        self.store.prepare(first=True)
        upload = self._start(upload_id)
        meta = ObjectMeta(upload.id, upload.size or 0, upload.crc32c, None, upload.run, upload.rank)
        if upload.target:
            step: Step = Link(upload.target, upload.name, upload.mode, self._form, meta)
        else:
            blob = str(self.spool.layout.blob(upload.id))
            body = Body(blob, 0, upload.size or 0, upload.crc32c)
            step = PutWhole(upload.name, body, upload.mode, meta)
        receipt = step.perform(self.store)
        for unneeded in self.spool.ledger.finish(upload, receipt):
            staging.discard(self.spool.layout, unneeded)

    def die(self, upload_id: str, error_class: ErrorClass, error: str = "said the store") -> None:
        """Make an upload a dead letter."""
        self.spool.ledger.fail(self._start(upload_id), error_class, error)

    def stranger(self, name: str, content: bytes) -> None:
        """Put an object as another node would."""
        self.store.prepare(first=True)
        body = Body.of_bytes(content)
        meta = ObjectMeta("f" * 32, len(content), body.crc32c, None, "other", 1)
        self.store.put(name, body, PutMode.OVERWRITE, meta)

    def _start(self, upload_id: str) -> Upload:
        ((upload, _),) = self.spool.ledger.start_all([self.spool.upload(upload_id)])
        return upload
