"""Reach a bucket with boto3, as the place and its options ask for; nothing is loaded before.

- Retries are ours (`policy.py`): the SDK's own are off, so that layers do not multiply, and so that
  every try is classified. An SDK retry of a conditional put whose answer was lost ends in 412.
- Checksums are ours too: the SDK would read every body once more to take a CRC32 of its own.
- Bodies are not hashed into the signature: their CRC32C is a header, and headers are signed.
- Credentials come from botocore's chain, and are never held anywhere else. A new client reads the
  files and the environment again.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit, urlunsplit

import boto3
import botocore.session
from botocore.config import Config
from botocore.exceptions import NoCredentialsError
from botocore.handlers import add_expect_header
from botocore.httpsession import get_cert_path
from botocore.loaders import create_loader
from botocore.utils import get_environ_proxies

from uploader.place import Way
from uploader.store.http.connections import trusting
from uploader.store.http.line import CONNECT_TIMEOUT
from uploader.store.s3.sdk_errors import classified_of_sdk
from uploader.store.s3.signing import Keys
from uploader.store.s3.way import settings_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from uploader.config import Options
    from uploader.place import Place

CONNECTIONS = 4  #: a worker sends one request at a time; listing and reading may overlap with it
#: What botocore reads of the API, kept for all clients of a process: a client takes 0.02 s with it,
#: and 0.13 s without.
MODELS = create_loader(os.environ.get("AWS_DATA_PATH"))
FALLBACK_REGION = "us-east-1"  #: what services that have no regions call themselves
PROBE_KEY = "key"  #: of the URL that is asked for to learn where the bucket is


class Sdk:
    """A boto3 client for one bucket."""

    def __init__(self, place: Place) -> None:
        """Make the client; nothing is asked yet.

        Raises:
            AuthError: no such profile, or files of configuration or certificates that cannot be
                read.
        """
        self._place = place
        options = place.options
        endpoint = place.setting("endpoint", os.environ)
        region = place.setting("region", os.environ)
        with classified_of_sdk("open", place.url):
            core = botocore.session.get_session()
            core.register_component("data_loader", MODELS)
            session = boto3.Session(botocore_session=core, profile_name=options.profile)
            self._certificates: str | None = place.setting(
                "ca_bundle", os.environ
            ) or core.get_config_variable("ca_bundle")
            if endpoint and not region and not session.region_name:
                region = FALLBACK_REGION
            self._client = session.client(
                "s3",
                region_name=region,
                endpoint_url=endpoint,
                verify=self._certificates,
                config=_config(options),
            )
            self._credentials = session.get_credentials()
        if self._certificates and self.endpoint.startswith("https:"):
            # A bad file is refused by its name: urllib3 would fail at each request, as if the way
            # were bad.
            trusting(self._certificates)
        # With `Expect: 100-continue` each put costs one more round trip, and a second at a service
        # that does not know it.
        self._client.meta.events.unregister("before-call.s3", add_expect_header)

    @property
    def endpoint(self) -> str:
        """The URL of the service, as it may be shown and stored."""
        parts = urlsplit(str(self._client.meta.endpoint_url))
        return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))

    def way(self) -> Way | None:
        """Return how to reach the bucket without the SDK; None where only that knows how."""
        bucket = self._place.destination.bucket
        if self._credentials is None or bucket.startswith("arn:") or bucket.endswith("--x-s3"):
            return None
        with classified_of_sdk("open", self._place.url):
            parameters = {"Bucket": bucket, "Key": PROBE_KEY}
            url = self._client.generate_presigned_url("put_object", Params=parameters)
        parts = urlsplit(url)
        if "X-Amz-Credential" not in parts.query or get_environ_proxies(url):
            return None
        if "@" in parts.netloc:  # a secret: the way is stored
            return None
        _, _, region, service, _ = parse_qs(parts.query)["X-Amz-Credential"][0].rsplit("/", 4)
        path = parts.path.removesuffix(PROBE_KEY)
        return Way(
            settings=settings_of(self._place, os.environ),
            endpoint=self.endpoint,
            url=urlunsplit((parts.scheme, parts.netloc, path, "", "")),
            region=region,
            service=service,
            certificates=_trusted(self._certificates) if parts.scheme == "https" else "",
        )

    def keys(self) -> Keys:
        """Return the credentials as they are now, renewed if they had to be."""
        with classified_of_sdk("open", self._place.url):
            if self._credentials is None:
                raise NoCredentialsError
            now = self._credentials.get_frozen_credentials()
        return Keys(now.access_key, now.secret_key, now.token)

    def ask(self, operation: str, called: str, what: str, **parameters: Any) -> dict[str, Any]:
        """Make a request and return its answer.

        Args:
            operation: as boto3 calls it, as put_object.
            called: as the API calls it, as PutObject.
            what: the URL it is about, for messages.
            parameters: as boto3 takes them.

        Raises:
            StoreError: any of them; see `classified_of_sdk`.
        """
        with classified_of_sdk(called, what):
            answer: dict[str, Any] = getattr(self._client, operation)(**parameters)
        headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
        return {**answer, "Date": headers.get("date")}

    def pages(
        self, operation: str, called: str, what: str, **parameters: Any
    ) -> Iterator[dict[str, Any]]:
        """Yield every page of a listing; as `ask`."""
        pages = iter(self._client.get_paginator(operation).paginate(**parameters))
        while True:
            with classified_of_sdk(called, what):
                page = next(pages, None)
            if page is None:
                return
            yield page

    @staticmethod
    def portions(stream: Any, what: str, most: int) -> Iterator[bytes]:
        """Yield the body of an answer, up to `most` bytes at a time."""
        with stream:
            while True:
                with classified_of_sdk("GetObject", what):
                    data = stream.read(most)
                if not data:
                    return
                yield data

    def close(self) -> None:
        """Let go of connections."""
        self._client.close()


def _trusted(certificates: str | None) -> str:
    return str(get_cert_path(certificates or True))


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
