"""Run the real command line with a prefix of a bucket as its destination."""

from __future__ import annotations

import pathlib
import socket
import uuid
from typing import Any

from tests.cli.shell import Shell
from tests.servers.s3_server import S3Server


class S3Shell(Shell):
    """A folder with a spool, and a prefix of its own in a bucket of a server."""

    def __init__(self, folder: pathlib.Path, server: S3Server, bucket: str) -> None:
        super().__init__(folder)
        self.server = server
        self.bucket = bucket
        self.prefix = f"runs/{uuid.uuid4().hex}"
        own = {key: value for key, value in self.environment.items() if not key.startswith("AWS_")}
        self.environment = {**own, **server.environment(), "AWS_ENDPOINT_URL": server.endpoint}

    @property
    def url(self) -> str:
        """The destination."""
        return f"s3://{self.bucket}/{self.prefix}"

    def init(self, *arguments: object, **environment: str) -> None:
        """Make the spool."""
        more: Any = environment
        ended = self.run("init", "--destination", self.url, *arguments, **more)
        assert ended.returncode == 0, ended.stderr

    def names(self) -> list[str]:
        """Return the names of the objects below the prefix, without it."""
        listed = self._ask("list_objects_v2", Prefix=f"{self.prefix}/")
        return sorted(one["Key"][len(self.prefix) + 1 :] for one in listed.get("Contents", []))

    def unfinished(self) -> list[str]:
        """Return the keys of the uploads in parts that are open below the prefix."""
        listed = self._ask("list_multipart_uploads", Prefix=f"{self.prefix}/")
        return [str(one["Key"]) for one in listed.get("Uploads", [])]

    def begin_parts(self, name: str) -> None:
        """Open an upload in parts, and leave it."""
        self._ask("create_multipart_upload", Key=f"{self.prefix}/{name}")

    def bytes_of(self, name: str) -> bytes:
        """Return an object's bytes."""
        with self._ask("get_object", Key=f"{self.prefix}/{name}")["Body"] as stream:
            return bytes(stream.read())

    def upload_id_of(self, name: str) -> str:
        """Return the id of the upload that made an object, as its metadata tells it."""
        head = self._ask("head_object", Key=f"{self.prefix}/{name}")
        return str(head["Metadata"]["uploader-id"])

    def occupy_object(self, name: str, content: bytes) -> None:
        """Have somebody else's object under a name."""
        self._ask("put_object", Key=f"{self.prefix}/{name}", Body=content)

    def _ask(self, operation: str, **parameters: Any) -> Any:
        return getattr(self.server.client(), operation)(Bucket=self.bucket, **parameters)


def nobody_listens() -> str:
    """Return an endpoint at which nothing answers."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{taken.getsockname()[1]}"
