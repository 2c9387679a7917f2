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

#: Variables that boto3 reads and that say where a bucket is. They are remembered as they were when
#: the spool got its destination, so that a drain from another shell finds the same place; what
#: the environment has at the time comes first.
AMBIENT_VARIABLES = (
    "AWS_ENDPOINT_URL_S3",
    "AWS_ENDPOINT_URL",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_CA_BUNDLE",
)


@dataclass(frozen=True)
class Capabilities:
    """What a service was found to honour, by trying it."""

    endpoint: str = ""  #: where it was tried
    conditional_put: bool = True  #: `If-None-Match: *` on a put
    conditional_replace: bool = True  #: `If-Match` on a put
    conditional_complete: bool = True  #: `If-None-Match: *` on the completion of an object in parts
    conditional_copy: bool = True  #: `If-None-Match: *` on a copy
    crc32c: bool = True  #: of a put and of a part: checked, and refused when wrong
    whole_crc32c: bool = True  #: of an object in parts, as a whole
    copy: bool = True

    def as_text(self) -> str:
        """Return the form that is stored."""
        return json.dumps(asdict(self))

    @classmethod
    def from_text(cls, text: str | None) -> Capabilities | None:
        """Read what `as_text` wrote; None if there is nothing, or it is of another version."""
        given = json.loads(text or "{}")
        known = {one.name for one in fields(cls)}
        return cls(**given) if set(given) == known else None


@dataclass(frozen=True)
class Place:
    """A destination, with all that is known about it."""

    url: str
    options: Options = field(default_factory=Options)
    ambient: Mapping[str, str] = field(default_factory=dict)  #: see `AMBIENT_VARIABLES`
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


def ambient_of(environ: Mapping[str, str]) -> dict[str, str]:
    """Return what an environment says about where a bucket is."""
    return {name: environ[name] for name in AMBIENT_VARIABLES if environ.get(name)}
