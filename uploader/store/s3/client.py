"""Make the boto3 client of one process, as the place and its options ask for.

- Retries are ours (`policy.py`): the SDK's own are off, so that layers do not multiply, and so that
  every try is classified. An SDK retry of a conditional put whose answer was lost ends in 412.
- Checksums are ours too: the SDK would read every body once more to take a CRC32 of its own.
- Bodies are not hashed into the signature: their CRC32C is a header, and headers are signed.
- Credentials come from botocore's chain, and are never held anywhere else. A new client reads the
  files and the environment again.
"""

from __future__ import annotations

import os
import ssl
from typing import TYPE_CHECKING, Any

import boto3
import botocore.session
from botocore.config import Config
from botocore.handlers import add_expect_header
from botocore.loaders import create_loader

from uploader.errors import AuthError
from uploader.store.s3.errors import classified
from uploader.store.s3.wire import CONNECT_TIMEOUT, Wire

if TYPE_CHECKING:
    from uploader.config import Options
    from uploader.place import Place

CONNECTIONS = 4  #: a worker sends one request at a time; listing and reading may overlap with it
#: What botocore reads of the API, kept for all clients of a process: a client takes 0.02 s with it,
#: and 0.13 s without.
MODELS = create_loader(os.environ.get("AWS_DATA_PATH"))
FALLBACK_REGION = "us-east-1"  #: what services that have no regions call themselves


def make_client(place: Place) -> tuple[Any, Wire | None]:
    """Return an S3 client, and the shorter way to the bucket if there is one.

    Raises:
        AuthError: no such profile, or files of configuration or certificates that cannot be read.
    """
    options = place.options
    endpoint = place.setting("endpoint", os.environ)
    region = place.setting("region", os.environ)
    certificates = place.setting("ca_bundle", os.environ)
    with classified("open", place.url):
        core = botocore.session.get_session()
        core.register_component("data_loader", MODELS)
        session = boto3.Session(botocore_session=core, profile_name=options.profile)
        if endpoint and not region and not session.region_name:
            region = FALLBACK_REGION
        client = session.client(
            "s3",
            region_name=region,
            endpoint_url=endpoint,
            verify=certificates,
            config=_config(options),
        )
    if certificates and client.meta.endpoint_url.startswith("https:"):
        _require_certificates(certificates)
    # With `Expect: 100-continue` each put costs one more round trip, and a second at a service that
    # does not know it.
    client.meta.events.unregister("before-call.s3", add_expect_header)
    with classified("open", place.url):
        bucket = place.destination.bucket
        timeout = options.stall_timeout
        return client, Wire.of(client, session.get_credentials(), bucket, timeout, certificates)


def _require_certificates(path: str) -> None:
    """Refuse a bad file by its name; urllib3 would fail at each request, as if the way were bad."""
    kind = "capath" if os.path.isdir(path) else "cafile"
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(**{kind: path})
    except OSError as error:
        msg = f"cannot use the certificates in {path}: {error}; correct --ca-bundle"
        raise AuthError(msg) from error


def _config(options: Options) -> Config:
    return Config(
        signature_version="s3v4",
        retries={"total_max_attempts": 1, "mode": "standard"},
        connect_timeout=min(CONNECT_TIMEOUT, options.stall_timeout),
        read_timeout=options.stall_timeout,
        max_pool_connections=CONNECTIONS,
        tcp_keepalive=True,
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        s3={
            "addressing_style": options.addressing_style or "auto",
            "payload_signing_enabled": False,
        },
        user_agent_extra="artifact-uploader",
    )
