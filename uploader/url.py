"""Read destination URLs: where a spool uploads to."""

from __future__ import annotations

import os
from dataclasses import dataclass
from urllib.parse import quote, unquote, urlsplit

SCHEMES = ("file",)  #: a store exists for each; see `uploader.store.opening`


@dataclass(frozen=True)
class Destination:
    """A parsed destination URL."""

    scheme: str
    bucket: str  #: empty for `file`
    path: str  #: the absolute root directory for `file`, else the prefix, without outer slashes

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
    if parts.scheme not in SCHEMES:
        msg = f"unknown destination {url!r}: this version uploads to {', '.join(SCHEMES)}://"
        raise ValueError(msg)
    if parts.scheme == "file":
        if parts.query or parts.fragment:  # what follows would be cut off: another directory
            msg = f"bad destination {url!r}: in a file URL write ? as %3F and # as %23"
            raise ValueError(msg)
        return _file(url, parts.netloc, unquote(parts.path))
    return Destination(parts.scheme, parts.netloc, unquote(parts.path).strip("/"))


def _file(url: str, host: str, path: str) -> Destination:
    if host not in ("", "localhost") or not path.startswith("/"):
        msg = f"bad destination {url!r}: a file URL has three slashes, as file:///mnt/artifacts"
        raise ValueError(msg)
    if "\0" in path:
        msg = f"bad destination {url!r}: it contains NUL"
        raise ValueError(msg)
    return Destination("file", "", os.path.normpath(path))
