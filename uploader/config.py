"""Settle each option: flag over URL query over `UPLOADER_*` variable over what the spool remembers.

Only options that are not secret exist here; they are stored in the spool in the clear. Secrets (the
credentials, a customer's own encryption key) come from the environment or files at each start; of
such a file only the path is an option.
"""

from __future__ import annotations

import math
import os
import re
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from uploader.clock import parse_duration
from uploader.model import SymlinkMode

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

SPOOL_VARIABLE = "UPLOADER_SPOOL"
MIB = 1 << 20
MAX_SIZE = (1 << 63) - 1  #: bytes; what the database can count, and files can have

ADDRESSING_STYLES = ("auto", "path", "virtual")
ENCRYPTIONS = ("AES256", "aws:kms", "aws:kms:dsse", "customer")

#: Of `objects.insert` in the reference of GCS's JSON API, its parameter predefinedAcl.
PREDEFINED_ACLS = (
    "authenticatedRead", "bucketOwnerFullControl", "bucketOwnerRead", "private", "projectPrivate",
    "publicRead",
)  # fmt: skip

OWN_METADATA = "uploader-"  #: how the names begin of what is written beside every object

#: Which destinations an option is for; one that is not here is for all of them.
SCHEMES_OF = {
    **dict.fromkeys(
        ("endpoint", "storage_class", "kms_key_id", "acl", "metadata", "ca_bundle"), ("s3", "gs")
    ),
    **dict.fromkeys(
        ("region", "profile", "addressing_style", "sse", "tags", "requester_pays"), ("s3",)
    ),
    **dict.fromkeys(("user_project", "credentials_file", "impersonate_service_account"), ("gs",)),
}

_HEADER_NAME = re.compile(r"[A-Za-z0-9._-]+")
_PROJECT = re.compile(r"[A-Za-z0-9.:-]+")  #: its number, or its id, as example.com:fox
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")
_KMS_KEY = re.compile(r"projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+")
_WORDS = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}


@dataclass(frozen=True)
class Options:
    """What the spool remembers about how to upload. None: the store's own default."""

    symlink_mode: SymlinkMode | None = None
    part_size: int | None = None  #: bytes; rounded up to what the store and the file need
    max_attempts: int | None = None  #: None: a transient failure is never final
    keep_done: float = 30 * 86400.0  #: seconds for which a finished row is kept
    allow_unsafe_create: bool = False  #: check-then-put where the store has no atomic create
    max_bandwidth: int | None = None  #: bytes per second, over all workers
    stall_timeout: float = 60.0  #: seconds without progress after which a request is given up
    node_report: bool = False  #: keep at the destination what this node still holds

    # of S3 and of Google Cloud Storage
    endpoint: str | None = None  #: URL of a service that speaks as theirs; None: what the SDK finds
    storage_class: str | None = None  #: as STANDARD_IA; as NEARLINE
    kms_key_id: str | None = None  #: of S3 also an alias or an ARN; of GCS as `_KMS_KEY`
    acl: str | None = None  #: a canned ACL, as bucket-owner-full-control; of `PREDEFINED_ACLS`
    metadata: str | None = None  #: of each object, beside our own; written as `tags`
    ca_bundle: str | None = None  #: a file of certificates that TLS connections are checked with

    # of S3
    region: str | None = None
    profile: str | None = None  #: of the AWS configuration files
    addressing_style: str | None = None  #: one of `ADDRESSING_STYLES`
    sse: str | None = None  #: one of `ENCRYPTIONS`; the key of `customer` is never remembered
    tags: str | None = None  #: of each object, as team=vision&keep=yes
    requester_pays: bool = False

    # of Google Cloud Storage
    user_project: str | None = None  #: that is billed for requests to a bucket that says so
    credentials_file: str | None = None  #: of a service or external account; None: the default's
    impersonate_service_account: str | None = None  #: e-mail address of the one to act as

    def require_fit(self, scheme: str) -> None:
        """Raise `ValueError` for what means nothing to a destination of this scheme.

        That is an option of others, or one whose value is of others.
        """
        given = self.as_json()
        unfit: dict[tuple[str, ...], list[str]] = {}
        for name in sorted(set(given) - set(fitting(given, scheme))):
            unfit.setdefault(SCHEMES_OF[name], []).append(name)
        said = [
            f"option {', '.join(names)}: only for {' and '.join(f'{one}://' for one in schemes)} "
            f"destinations, not {scheme}://"
            for schemes, names in unfit.items()
        ]
        if said:
            raise ValueError("; ".join(said))
        if scheme == "gs":
            for name in _OF_GCS.keys() & given.keys():
                _read(name, given[name], _OF_GCS[name])

    def as_json(self) -> dict[str, Any]:
        """Return what differs from the defaults, as it is stored."""
        return {
            field.name: getattr(self, field.name)
            for field in fields(self)
            if getattr(self, field.name) != field.default
        }

    def changed_by(self, given: Mapping[str, Any]) -> Options:
        """Return the options with those that are `given` and not None put over them.

        An empty text puts an option back to its default.

        Raises:
            ValueError: an option that does not exist, or a value that it cannot take.
        """
        known = {field.name for field in fields(self)}
        unknown = sorted(set(given) - known)
        if unknown:
            msg = f"no such option: {', '.join(unknown)}; there are: {', '.join(sorted(known))}"
            raise ValueError(msg)
        changes = {key: _typed(key, value) for key, value in given.items() if value is not None}
        return replace(self, **changes)


def from_environment(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the options that `UPLOADER_*` variables set, by option name."""
    environ = os.environ if environ is None else environ
    names = {f"UPLOADER_{field.name.upper()}": field.name for field in fields(Options)}
    return {name: environ[key] for key, name in names.items() if environ.get(key)}


def fitting(options: Mapping[str, Any], scheme: str) -> dict[str, Any]:
    """Return those of the options that mean something to a destination of this scheme."""
    return {
        name: value for name, value in options.items() if scheme in SCHEMES_OF.get(name, (scheme,))
    }


def default_spool(destination: str) -> Path:
    """Return the spool's place when none is named: `UPLOADER_SPOOL`, else in the user's state.

    One directory a destination, so that two destinations never meet in one spool.
    """
    named = os.environ.get(SPOOL_VARIABLE)
    if named:
        return Path(named)
    import hashlib

    return own_spools() / hashlib.sha256(destination.encode()).hexdigest()[:16]


def own_spools() -> Path:
    """Return the directory of the user's own spools, those that nobody named."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "uploader"


def parse_size(text: str | int) -> int:
    """Return the bytes in `1048576`, `8MiB`, `2 GB`; `ValueError` says what is expected."""
    if isinstance(text, int) and 0 <= text <= MAX_SIZE:
        return text
    text = str(text)
    number = text.strip().rstrip("BbIi")
    power = "KMGT".find(number[-1:].upper()) + 1 if number[-1:].isalpha() else 0
    base = 1000 if text.strip()[-2:-1].upper() in "KMGT" and text.strip()[-1:] in "Bb" else 1024
    try:
        value = float(number[: -1 if power else None])
    except ValueError:
        value = -1.0
    if not 0 <= value * base**power <= MAX_SIZE or (number[-1:].isalpha() and not power):
        msg = f"not a size: {text!r}; write bytes, or a number with KiB, MiB, GiB or TiB"
        raise ValueError(msg)
    return int(value * base**power)


def pairs_of(text: str | None) -> dict[str, str]:
    """Return the pairs of `key=value&key=value`, the form of the options `tags` and `metadata`."""
    return dict(parse_qsl(text or "", keep_blank_values=True, strict_parsing=bool(text)))


def _typed(key: str, value: Any) -> Any:
    return _DEFAULTS[key] if value == "" else _read(key, value, _READERS.get(key, _text))


def _read(key: str, value: Any, read: Callable[[Any], Any]) -> Any:
    try:
        return read(value)
    except ValueError as error:
        msg = f"option {key}: {error}"
        raise ValueError(msg) from error


def _text(value: Any) -> str:
    text = str(value)
    if not text.isprintable() or text != text.strip():
        msg = f"not a plain text: {text!r}"
        raise ValueError(msg)
    return text


def _symlink_mode(value: Any) -> SymlinkMode:
    return SymlinkMode(_one_of(*(mode.value for mode in SymlinkMode))(value))


def _number(value: Any) -> int:
    if not str(value).isdecimal():
        msg = f"not a whole number of at least 1: {value!r}"
        raise ValueError(msg)
    return _at_least_one(int(value))


def _size(value: Any) -> int:
    return _at_least_one(parse_size(value))


def _at_least_one(number: int) -> int:
    if number < 1:
        msg = f"must be at least 1, not {number}"
        raise ValueError(msg)
    return number


def _seconds(value: Any) -> float:
    return parse_duration(str(value))


def _timeout(value: Any) -> float:
    return float(_at_least_one(math.ceil(_seconds(value))))


def _yes_or_no(value: Any) -> bool:
    if str(value).lower() not in _WORDS:
        msg = f"write yes or no, not {value!r}"
        raise ValueError(msg)
    return _WORDS[str(value).lower()]


def _one_of(*choices: str) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if value not in choices:
            msg = f"write one of {', '.join(choices)}, not {value!r}"
            raise ValueError(msg)
        return next(choice for choice in choices if choice == value)

    return read


def _endpoint(value: Any) -> str:
    parts = urlsplit(_text(value))
    if "@" in parts.netloc:  # first: no other message may repeat them
        msg = "credentials do not belong in a URL; it is stored in the clear"
        raise ValueError(msg)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query:
        msg = f"write a URL, as https://minio.example:9000, not {value!r}"
        raise ValueError(msg)
    return str(value).rstrip("/")


def _file(value: Any) -> str:
    return os.path.abspath(_text(value))


def _credentials_file(value: Any) -> str:
    if str(value).lstrip().startswith("{"):  # first: no other message may repeat it
        msg = "write the path of a file, not what is in it; it is stored in the clear"
        raise ValueError(msg)
    return _file(value)


def _like(form: re.Pattern[str], expected: str) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if not form.fullmatch(_text(value)):
            msg = f"write {expected}, not {value!r}"
            raise ValueError(msg)
        return str(value)

    return read


def _pairs(value: Any) -> str:
    text = _text(value)
    try:
        pairs = pairs_of(text)
    except ValueError:
        pairs = {}
    if not pairs or not all(pairs):
        msg = f"write pairs, as team=vision&keep=yes, not {value!r}"
        raise ValueError(msg)
    return urlencode(pairs, quote_via=quote)


def _metadata(value: Any) -> str:
    text = _pairs(value)
    for key in pairs_of(text):
        if not _HEADER_NAME.fullmatch(key):
            msg = f"a name is of letters, digits and -._ only, not {key!r}"
            raise ValueError(msg)
        if key.lower().startswith(OWN_METADATA):
            msg = f"names that begin with {OWN_METADATA} are the uploader's own, as {key!r}"
            raise ValueError(msg)
    return text


#: How each is read that is more than a plain text.
_READERS: dict[str, Callable[[Any], Any]] = {
    "symlink_mode": _symlink_mode,
    "part_size": _size,
    "max_attempts": _number,
    "keep_done": _seconds,
    "allow_unsafe_create": _yes_or_no,
    "node_report": _yes_or_no,
    "max_bandwidth": _size,
    "stall_timeout": _timeout,
    "endpoint": _endpoint,
    "addressing_style": _one_of(*ADDRESSING_STYLES),
    "sse": _one_of(*ENCRYPTIONS),
    "tags": _pairs,
    "metadata": _metadata,
    "requester_pays": _yes_or_no,
    "ca_bundle": _file,
    "user_project": _like(_PROJECT, "a project's id or number, as my-project"),
    "credentials_file": _credentials_file,
    "impersonate_service_account": _like(
        _EMAIL, "an e-mail address, as uploads@my-project.iam.gserviceaccount.com"
    ),
}
#: What GCS takes only in words of its own.
_OF_GCS: dict[str, Callable[[Any], Any]] = {
    "acl": _one_of(*PREDEFINED_ACLS),
    "kms_key_id": _like(
        _KMS_KEY, "the key's resource name, as projects/P/locations/L/keyRings/R/cryptoKeys/K"
    ),
}
_DEFAULTS = {field.name: field.default for field in fields(Options)}
