"""Run the real command line with a prefix of a bucket as its destination, at S3 or at GCS."""

from __future__ import annotations

import abc
import base64
import json
import pathlib
import uuid
from typing import TYPE_CHECKING, Any, ClassVar

from tests.cli.shell import Shell
from tests.servers.services import PARTS, Bucket, GcsBucket, S3Bucket

if TYPE_CHECKING:
    from tests.servers.gcs_server import GcsServer
    from tests.servers.s3_server import S3Server
    from tests.servers.strict_gcs.running import StrictGcs


class BucketShell(Shell, abc.ABC):
    """A folder with a spool, and a prefix of its own in a bucket of a server.

    Attributes:
        scheme: of the destination.
        endpoint_variable: by which the SDK is told where the service is.
        foreign: how the variables begin that the machine itself may have set.
    """

    scheme: ClassVar[str]
    endpoint_variable: ClassVar[str]
    foreign: ClassVar[tuple[str, ...]]

    def __init__(self, folder: pathlib.Path, server: Any, bucket: Bucket) -> None:
        super().__init__(folder)
        self.server = server
        self.bucket = bucket
        self.prefix = f"runs/{uuid.uuid4().hex}"
        given = self.environment.items()
        own = {key: value for key, value in given if not key.startswith(self.foreign)}
        known: dict[str, str] = server.environment()
        self.environment = {**own, **known, self.endpoint_variable: server.endpoint}

    @property
    def url(self) -> str:
        """The destination."""
        return f"{self.scheme}://{self.bucket.name}/{self.prefix}"

    @property
    @abc.abstractmethod
    def secrets(self) -> list[str]:
        """What no command may show."""

    def init(self, *arguments: object, **environment: str) -> None:
        """Make the spool."""
        more: Any = environment
        ended = self.run("init", "--destination", self.url, *arguments, **more)
        assert ended.returncode == 0, ended.stderr

    def told_of(self, endpoint: str) -> Any:
        """Return the variable by which a command is told of an endpoint, for `run`."""
        return {self.endpoint_variable: endpoint}

    # -- at the service -------------------------------------------------------------------------

    def names(self) -> list[str]:
        """Return the names of the objects below the prefix, without it; a trial's and parts too."""
        return self._below(self.bucket.objects())

    def unfinished(self) -> list[str]:
        """Return what there is, below the prefix, of uploads that were not completed."""
        return self._below(self.bucket.unfinished())

    def bytes_of(self, name: str) -> bytes:
        """Return an object's bytes."""
        return self.bucket.read(f"{self.prefix}/{name}")

    def upload_id_of(self, name: str) -> str:
        """Return the id of the upload that made an object, as its metadata tells it."""
        return self.bucket.describe(f"{self.prefix}/{name}").metadata["uploader-id"]

    @abc.abstractmethod
    def occupy_object(self, name: str, content: bytes) -> None:
        """Have somebody else's object under a name."""

    @abc.abstractmethod
    def remove_object(self, name: str) -> None:
        """Have nothing under a name."""

    @abc.abstractmethod
    def leave_unfinished(self) -> str:
        """Leave what a lost machine leaves of an upload in parts; return its name, or its parts'.

        `unfinished` has it then, and `uploader gc` names it.
        """

    def _below(self, keys: Any) -> list[str]:
        begin = f"{self.prefix}/"
        return sorted(key.removeprefix(begin) for key in keys if key.startswith(begin))


class S3Shell(BucketShell):
    """At a service that speaks S3."""

    server: S3Server
    scheme = "s3"
    endpoint_variable = "AWS_ENDPOINT_URL"
    foreign = ("AWS_",)

    def __init__(self, folder: pathlib.Path, server: S3Server, bucket: str) -> None:
        super().__init__(folder, server, S3Bucket(bucket, server.client()))

    @property
    def secrets(self) -> list[str]:
        """See `BucketShell.secrets`."""
        return [self.server.secret_key]

    def occupy_object(self, name: str, content: bytes) -> None:
        """See `BucketShell.occupy_object`."""
        self._ask("put_object", name, Body=content)

    def remove_object(self, name: str) -> None:
        """See `BucketShell.remove_object`."""
        self._ask("delete_object", name)

    def leave_unfinished(self) -> str:
        """See `BucketShell.leave_unfinished`: an open multipart upload."""
        self._ask("create_multipart_upload", "ckpt/lost.pt")
        return "ckpt/lost.pt"

    def _ask(self, operation: str, name: str, **parameters: Any) -> Any:
        ask = getattr(self.bucket.client, operation)
        return ask(Bucket=self.bucket.name, Key=f"{self.prefix}/{name}", **parameters)


class GcsShell(BucketShell):
    """At a service that speaks GCS's JSON API."""

    server: GcsServer
    scheme = "gs"
    endpoint_variable = "STORAGE_EMULATOR_HOST"
    foreign = ("GOOGLE_", "CLOUDSDK_", "GCE_", "STORAGE_", "REQUESTS_CA_", "CURL_CA_")

    def __init__(self, folder: pathlib.Path, server: GcsServer, bucket: str) -> None:
        super().__init__(folder, server, GcsBucket(bucket, server.client()))
        if server.token:
            self.log_in(server.token)
        if server.ca_bundle:
            self.environment["REQUESTS_CA_BUNDLE"] = str(server.ca_bundle)

    @property
    def secrets(self) -> list[str]:
        """See `BucketShell.secrets`."""
        return [self.server.token] if self.server.token else []

    def log_in(self, token: str) -> None:
        """Write a credentials file that holds a token itself, in the form of a workforce's user."""
        user = {"type": "external_account_authorized_user", "audience": "", "token": token}
        path = self.file(json.dumps(user), "credentials.json")
        self.environment["GOOGLE_APPLICATION_CREDENTIALS"] = str(path)

    def occupy_object(self, name: str, content: bytes) -> None:
        """See `BucketShell.occupy_object`."""
        self._blob(name).upload_from_string(content)

    def remove_object(self, name: str) -> None:
        """See `BucketShell.remove_object`."""
        self._blob(name).delete()

    def leave_unfinished(self) -> str:
        """See `BucketShell.leave_unfinished`: of a very large file, whose parts are objects.

        A session cannot be listed, so it is not told either; it ends by itself.
        """
        folder = f"{PARTS}{uuid.uuid4().hex}-0123abcd"
        for number in (1, 2):
            self.occupy_object(f"{folder}/{number:05}", b"a part")
        return folder

    def _blob(self, name: str) -> Any:
        return self.bucket.client.bucket(self.bucket.name).blob(f"{self.prefix}/{name}")


class StrictShell(GcsShell):
    """At the strict server of the tests' own, which does as it is told."""

    server: StrictGcs


def files_with(folder: pathlib.Path, secret: str) -> list[str]:
    """Return the names of the files below a folder that have a secret, as it is or as base64."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files
    forms = (secret.encode(), base64.b64encode(secret.encode()))
    return [path.name for path in files if any(form in path.read_bytes() for form in forms)]


def arguments_of_family(pid: int) -> list[str]:
    """Return the command lines of a process and its descendants."""
    children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    own = pathlib.Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    return [own, *(line for child in children for line in arguments_of_family(int(child)))]
