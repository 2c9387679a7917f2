"""Gives the uploader credentials, takes them away and spoils them, as S3 and as GCS know them."""

from __future__ import annotations

import abc
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.servers.s3_server import S3Server
    from tests.servers.token_issuer import TokenIssuer


class Login(abc.ABC):
    """Credentials in a file that is read anew when they were refused.

    Attributes:
        missing: what is said to do when there are none.
        wrong: what is said to do about those that `spoil` leaves.
    """

    missing: ClassVar[str]
    wrong: ClassVar[str]
    secret: ClassVar[str] = "a wrong secret"  #: that must be said nowhere

    def __init__(self, file: Path) -> None:
        """Begin with good ones."""
        self.file = file
        self.renew()

    @abc.abstractmethod
    def environment(self, given: Mapping[str, str]) -> dict[str, str]:
        """Return an environment in which the file is the only way in."""

    @abc.abstractmethod
    def renew(self) -> None:
        """Have good ones."""

    @abc.abstractmethod
    def spoil(self) -> None:
        """Have such as the service refuses."""

    def remove(self) -> None:
        """Have none."""
        self.file.unlink()

    def _write(self, text: str) -> None:
        """Write the file anew, never half of it."""
        new = self.file.with_suffix(".new")
        new.write_text(text)
        new.replace(self.file)


class S3Login(Login):
    """A shared credentials file of AWS."""

    missing = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    wrong = "check AWS_SECRET_ACCESS_KEY"

    def __init__(self, file: Path, server: S3Server) -> None:
        """Have those that the service knows."""
        self._server = server
        super().__init__(file)

    def environment(self, given: Mapping[str, str]) -> dict[str, str]:
        """See `Login.environment`."""
        secrets = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
        without = {name: value for name, value in given.items() if name not in secrets}
        return {**without, "AWS_SHARED_CREDENTIALS_FILE": str(self.file)}

    def renew(self) -> None:
        """See `Login.renew`."""
        self._tell(self._server.secret_key)

    def spoil(self) -> None:
        """See `Login.spoil`."""
        self._tell(self.secret)

    def _tell(self, secret: str) -> None:
        lines = (
            "[default]",
            f"aws_access_key_id = {self._server.access_key}",
            f"aws_secret_access_key = {secret}",
        )
        self._write("\n".join(lines))


class GcsLogin(Login):
    """A service account's file, for which an issuer gives out tokens."""

    missing = "name a service account's file in GOOGLE_APPLICATION_CREDENTIALS"
    wrong = "Invalid Credentials; renew the credentials"

    def __init__(self, file: Path, issuer: TokenIssuer) -> None:
        """Have those that the issuer gives out at first."""
        self._issuer, self._good = issuer, issuer.token
        super().__init__(file)

    def environment(self, given: Mapping[str, str]) -> dict[str, str]:
        """See `Login.environment`."""
        without = {name: value for name, value in given.items() if name != "STORAGE_EMULATOR_HOST"}
        return {**without, "GOOGLE_APPLICATION_CREDENTIALS": str(self.file)}

    def renew(self) -> None:
        """See `Login.renew`."""
        self._issuer.token = self._good
        self._write(self._issuer.account())

    def spoil(self) -> None:
        """See `Login.spoil`."""
        self._issuer.token = self.secret
