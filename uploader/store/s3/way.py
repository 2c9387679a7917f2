"""Tell whether a bucket can be reached as an earlier process did, without loading the SDK.

What the SDK finds out (endpoint, region, whose certificates) depends on the options, on variables
of the environment, and on files of its own. Their digest is remembered with what it found: as long
as it is the same, so is the answer, and 0.5 s of CPU are spared in each process.

Keys that stand in the environment are what botocore would take first ("Configuring credentials" of
the boto3 guide), unless a profile is asked for; all others are its own to find, and to renew.
"""

from __future__ import annotations

import json
import os
from hashlib import sha256
from typing import TYPE_CHECKING

from uploader.store.s3.signing import Keys

if TYPE_CHECKING:
    from collections.abc import Mapping

    from uploader.place import Place, Way

ACCESS_KEY, SECRET_KEY = "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"
TOKENS = ("AWS_SECURITY_TOKEN", "AWS_SESSION_TOKEN")  #: the first that is set, as botocore reads
EXPIRATION = "AWS_CREDENTIAL_EXPIRATION"  #: then botocore renews them from the environment

_OF_KEYS = frozenset([ACCESS_KEY, SECRET_KEY, *TOKENS, EXPIRATION])  #: say nothing about the way
_OF_PROXIES = frozenset(["http_proxy", "https_proxy", "all_proxy", "no_proxy"])
_OPTIONS = ("addressing_style", "ca_bundle", "endpoint", "profile", "region")
_FILES = {
    "AWS_CONFIG_FILE": "~/.aws/config",
    "AWS_SHARED_CREDENTIALS_FILE": "~/.aws/credentials",
}  #: variables that name botocore's files, and where these are otherwise


def needs_sdk(place: Place, environ: Mapping[str, str]) -> bool:
    """Tell whether not even the first request can be made without the SDK."""
    return keys_in(place, environ) is None or known_way(place, environ) is None


def known_way(place: Place, environ: Mapping[str, str]) -> Way | None:
    """Return the way that is remembered, if it still holds."""
    way = place.capabilities.way if place.capabilities else None
    if way is None or way.settings != settings_of(place, environ):
        return None
    return way if not way.certificates or os.path.exists(way.certificates) else None


def settings_of(place: Place, environ: Mapping[str, str]) -> str:
    """Return a digest of all that decides about the way to a place, with nothing secret in it."""
    variables = {
        name: value
        for name, value in environ.items()
        if (name.startswith("AWS_") and name not in _OF_KEYS) or name.lower() in _OF_PROXIES
    }
    files = [_state_of(environ.get(name) or default) for name, default in _FILES.items()]
    options = {name: getattr(place.options, name) for name in _OPTIONS}
    said = [place.destination.bucket, options, dict(place.ambient), variables, files]
    return sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def keys_in(place: Place, environ: Mapping[str, str]) -> Keys | None:
    """Return the credentials that stand in the environment; None if they are to be found else."""
    access, secret = environ.get(ACCESS_KEY), environ.get(SECRET_KEY)
    if place.options.profile or not access or not secret or environ.get(EXPIRATION):
        return None
    token = next((environ[name] for name in TOKENS if environ.get(name)), None)
    return Keys(access, secret, token)


def _state_of(path: str) -> list[int] | None:
    """Return what changes when a file is written or replaced; None if there is none."""
    try:
        found = os.stat(os.path.expanduser(path))
    except OSError:
        return None
    return [found.st_ino, found.st_size, found.st_mtime_ns]
