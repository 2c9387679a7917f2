"""Read destination URLs: where a spool uploads to, and the options that stand in the query."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from uploader.model import MAX_NAME_BYTES

if TYPE_CHECKING:
    from collections.abc import Mapping
    from urllib.parse import SplitResult

SCHEMES = ("file", "s3", "gs")  #: a store exists for each; see `uploader.store.opening`

_AWS_CREDENTIALS = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile or the node's role"
_GOOGLE_CREDENTIALS = (
    "set GOOGLE_APPLICATION_CREDENTIALS or the option credentials_file to the path of a file, or "
    "use the node's service account"
)


@dataclass(frozen=True)
class Destination:
    """A parsed destination URL."""

    scheme: str
    bucket: str  #: empty for `file`
    path: str  #: the absolute root directory for `file`, else the prefix, without outer slashes
    #: of the query, as `?endpoint=https://minio:9000`; not part of the destination's identity
    options: Mapping[str, str] = field(default_factory=dict, compare=False)

    def require_room(self, name: str) -> None:
        """Raise `ValueError` for a name that is too long behind the prefix."""
        size = len(f"{self.path}/{name}".encode()) if self.bucket and self.path else 0
        if size > MAX_NAME_BYTES:
            msg = (
                f"bad artifact name {name[:80]!r}: behind the prefix of {self} it has {size} "
                f"bytes; at most {MAX_NAME_BYTES} are allowed"
            )
            raise ValueError(msg)

    def __str__(self) -> str:
        """Return the one spelling that is stored and compared."""
        if self.scheme == "file":
            return f"file://{quote(self.path)}"
        return f"{self.scheme}://{self.bucket}" + (f"/{quote(self.path)}" if self.path else "")


def parse(url: str) -> Destination:
    """Return the destination that a URL names; a plain path means `file://`.

    Raises:
        ValueError: what is wrong with it, and what is expected.
    """
    if not isinstance(url, str) or not url.strip():  # type: ignore[redundant-expr]  # untyped callers
        msg = "the destination is empty; write a URL, as file:///mnt/artifacts"
        raise ValueError(msg)
    if "://" not in url:
        return _file(url, "", os.path.abspath(url))
    parts = urlsplit(url)
    if "@" in parts.netloc:  # first: no other message may repeat them
        raise ValueError(_with_credentials(parts))
    shown = f"{parts.scheme}://{parts.netloc}{parts.path}"  # a query may have secrets in it
    if parts.scheme not in SCHEMES:
        known = ", ".join(f"{scheme}://" for scheme in SCHEMES)
        msg = f"unknown destination {shown!r}: this version uploads to {known}"
        raise ValueError(msg)
    if parts.scheme == "file":
        if parts.query or parts.fragment:  # what follows would be cut off: another directory
            msg = f"bad destination {url!r}: in a file URL write ? as %3F and # as %23"
            raise ValueError(msg)
        return _file(url, parts.netloc, unquote(parts.path))
    return _in_bucket(parts, shown, cut=bool(parts.fragment) or url.endswith("#"))


def _file(url: str, host: str, path: str) -> Destination:
    if host not in ("", "localhost") or not path.startswith("/"):
        msg = f"bad destination {url!r}: a file URL has three slashes, as file:///mnt/artifacts"
        raise ValueError(msg)
    if "\0" in path:
        msg = f"bad destination {url!r}: it contains NUL"
        raise ValueError(msg)
    return Destination("file", "", os.path.normpath(path))


def _in_bucket(parts: SplitResult, shown: str, *, cut: bool) -> Destination:
    """Read `scheme://bucket/prefix?option=value`; `cut`: there is more, behind a #."""
    if not parts.netloc:
        msg = f"bad destination {shown!r}: no bucket is named, as in {parts.scheme}://bucket/prefix"
        raise ValueError(msg)
    if cut:
        msg = f"bad destination {shown!r}: write # as %23"
        raise ValueError(msg)
    prefix = unquote(parts.path).strip("/")
    segments = prefix.split("/") if prefix else []
    if any(segment in ("", ".", "..") for segment in segments) or not prefix.isprintable():
        msg = f"bad destination {shown!r}: the prefix has an empty, '.' or '..' segment, or no text"
        raise ValueError(msg)
    given = parse_qsl(parts.query, keep_blank_values=True)
    options = {key.replace("-", "_"): value for key, value in given}
    return Destination(parts.scheme, parts.netloc, prefix, options)


def _with_credentials(parts: SplitResult) -> str:
    instead = _GOOGLE_CREDENTIALS if parts.scheme == "gs" else _AWS_CREDENTIALS
    return (
        f"bad destination {parts.scheme}://...@{parts.netloc.rpartition('@')[2]}: credentials do "
        f"not belong in a URL; {instead}"
    )
