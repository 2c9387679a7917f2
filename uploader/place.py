"""Say where objects are put, how, and what the service there honours: all that opens a store.

It travels to worker processes as it is; there is nothing secret in it.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING

from uploader import url
from uploader.config import Options

if TYPE_CHECKING:
    from collections.abc import Mapping

    from uploader.url import Destination

#: Variables of AWS and of Google that say where a bucket is, the first that is set before the
#: others, by scheme and by the option that goes over them. What they said when the spool got its
#: destination is remembered, so that a drain from another shell finds the same place; what they say
#: at the time comes first. Those of certificates are what the `requests` of Google's SDK reads.
AMBIENT_VARIABLES: dict[str, dict[str, tuple[str, ...]]] = {
    "file": {},
    "s3": {
        "endpoint": ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"),
        "region": ("AWS_REGION", "AWS_DEFAULT_REGION"),
        "ca_bundle": ("AWS_CA_BUNDLE",),
    },
    "gs": {
        "endpoint": ("STORAGE_EMULATOR_HOST",),
        "ca_bundle": ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
    },
}


@dataclass(frozen=True)
class Way:
    """Where exactly a bucket's objects are, as the SDK found out."""

    settings: str  #: a digest of all that it was found out from: it holds for the same only
    endpoint: str  #: the URL of the service
    url: str  #: what a key is appended to
    region: str  #: as it is signed for
    service: str
    certificates: str  #: path of those that are trusted; "" without TLS


@dataclass(frozen=True)
class Capabilities:
    """What a service was found to honour, by trying it; and the way to it."""

    endpoint: str = ""  #: where it was tried
    conditional_put: bool = True  #: a put only if the name is free
    conditional_replace: bool = True  #: a put only over the object that is known
    conditional_complete: bool = True  #: an object in parts is completed only if the name is free
    conditional_copy: bool = True  #: a copy only if the name is free
    crc32c: bool = True  #: of a put and of a part: checked, and refused when wrong
    whole_crc32c: bool = True  #: of an object in parts, as a whole
    conditional_delete: bool = True  #: a delete only of the object that is known
    copy: bool = True
    sessions: bool = True  #: what was sent of an object in parts is kept, and told of
    compose: bool = False  #: parts that are objects can be put together into one
    way: Way | None = None  #: None: it has to be asked for, whenever it is needed

    def as_text(self) -> str:
        """Return the form that is stored."""
        return json.dumps(asdict(self))

    @classmethod
    def from_text(cls, text: str | None) -> Capabilities | None:
        """Read what `as_text` wrote; None if there is nothing, or it is of another version."""
        given = json.loads(text or "{}")
        known = {one.name for one in fields(cls)}
        if set(given) != known:
            return None
        way = given.pop("way")
        return cls(**given, way=Way(**way) if way else None)


@dataclass(frozen=True)
class Place:
    """A destination, with all that is known about it."""

    url: str
    options: Options = field(default_factory=Options)
    ambient: Mapping[str, str] = field(default_factory=dict)  #: remembered, as `ambient_of`
    capabilities: Capabilities | None = None  #: None: not tried yet

    @classmethod
    def of(cls, text: str, options: Mapping[str, object] | None = None) -> Place:
        """Return the place that a URL names, with the options of its query under those given.

        Raises:
            ValueError: a bad URL or option.
        """
        destination = url.parse(text)
        settled = Options().changed_by({**destination.options, **(options or {})})
        settled.require_fit(destination.scheme)
        return cls(str(destination), settled)

    @property
    def destination(self) -> Destination:
        """The URL's parts."""
        return url.parse(self.url)

    def setting(self, option: str, environ: Mapping[str, str]) -> str | None:
        """Return an option that the SDK has variables for: its own, theirs, the remembered."""
        own: str | None = getattr(self.options, option)
        said = ambient_of(environ, self.destination.scheme)
        return own or said.get(option) or self.ambient.get(option)


def ambient_of(environ: Mapping[str, str], scheme: str) -> dict[str, str]:
    """Return what an environment says about where a bucket of this scheme is, by option."""
    said = {
        option: next((environ[name] for name in names if environ.get(name)), "")
        for option, names in AMBIENT_VARIABLES[scheme].items()
    }
    if scheme == "gs" and said["endpoint"]:
        said["endpoint"] = _with_scheme(said["endpoint"])
    return {option: value for option, value in said.items() if value}


def _with_scheme(host: str) -> str:
    """Return a URL: people and emulators write `localhost:9000` in STORAGE_EMULATOR_HOST too."""
    return (host if "://" in host else f"http://{host}").rstrip("/")
