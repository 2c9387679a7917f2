"""Reach Google Cloud Storage with its SDK, as the place and its options ask for.

- Retries are ours (`policy.py`): the SDK's own are off, so that layers do not multiply, and so that
  every try is classified.
- Credentials come from google-auth's chain ("Application Default Credentials"), are refreshed when
  they are about to expire, and are never held anywhere else.
- Where the endpoint is not encrypted it is an emulator: no credentials are sent to it.
"""

from __future__ import annotations

import os
import threading
import warnings
from typing import TYPE_CHECKING, Any

import google.auth
from google.auth.credentials import AnonymousCredentials
from google.auth.environment_vars import CREDENTIALS
from google.auth.transport.requests import AuthorizedSession, Request
from google.cloud import storage
from requests import Session
from requests.adapters import HTTPAdapter
from requests.utils import DEFAULT_CA_BUNDLE_PATH, get_environ_proxies

from uploader.errors import AuthError
from uploader.store.gcs.sdk_errors import NO_CREDENTIALS, classified_of_sdk
from uploader.store.http.line import CONNECT_TIMEOUT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from uploader.config import Options
    from uploader.place import Place

CONNECTIONS = 4  #: a worker sends one request at a time; listing and reading may overlap with it
TOKEN_LIFETIME = 3600  #: seconds for which to act as another account; the most without permission


class Sdk:
    """A client for one bucket, and the credentials for requests that go past it."""

    def __init__(self, place: Place) -> None:
        """Make the client; nothing is asked yet.

        Raises:
            AuthError: no credentials, or a file of them that cannot be read.
        """
        options = place.options
        endpoint = place.setting("endpoint", os.environ)
        certificates = place.setting("ca_bundle", os.environ)
        self.timeout = (min(CONNECT_TIMEOUT, options.stall_timeout), options.stall_timeout)
        self._what = place.url
        self.plain = Session()  #: requests that bear no token: for one, or to elsewhere
        _trust(self.plain, certificates)
        self._ask = Request(self.plain)
        with classified_of_sdk("open", self._what):
            self._credentials = _credentials(options, endpoint)
            # It would make a request whose token is refused once more, of a body that was read.
            self.session = AuthorizedSession(
                self._credentials, max_refresh_attempts=0, auth_request=self._ask
            )
            _trust(self.session, certificates)
            self.session.configure_mtls_channel()
            client = storage.Client(
                project=None,
                credentials=self._credentials,
                _http=self.session,
                client_options={"api_endpoint": endpoint} if endpoint else None,
            )
        # It would ask for the bucket, in a thread of its own, and name nobody who pays for that;
        # to have it not ask there is but a variable of the environment.
        client._bucket_metadata_cache = None  # noqa: SLF001
        self.endpoint: str = str(client.api_endpoint).rstrip("/")
        self.bucket = client.bucket(place.destination.bucket, user_project=options.user_project)
        self._client = client
        self.trusted: str = certificates or DEFAULT_CA_BUNDLE_PATH
        self._refreshing = threading.Lock()  # threads may ask at once

    @property
    def goes_direct(self) -> bool:
        """Whether requests may go past the SDK: there is no proxy, and no certificate of ours."""
        return not self.session.is_mtls and not get_environ_proxies(self.endpoint)

    def authorized(self, method: str, url: str) -> Mapping[str, str]:
        """Return the headers that authorise a request, with a token that was renewed if need be."""
        headers: dict[str, str] = {}
        with self._refreshing, classified_of_sdk("open", self._what):
            self._credentials.before_request(self._ask, method, url, headers)
        return headers

    def blobs(self, prefix: str, **how: Any) -> Any:
        """Return an iterator of the SDK over what begins so."""
        return self._client.list_blobs(
            self.bucket, prefix=prefix, timeout=self.timeout, retry=None, **how
        )

    def close(self) -> None:
        """Let go of connections."""
        self._client.close()
        self.plain.close()


class _Trusting(HTTPAdapter):
    """Connections that are checked with certificates of ours.

    Those of `REQUESTS_CA_BUNDLE` would go over what a session is told to verify with.
    """

    def __init__(self, certificates: str | None) -> None:
        super().__init__(pool_connections=CONNECTIONS, pool_maxsize=CONNECTIONS)
        self._certificates = certificates

    def send(self, *what: Any, **how: Any) -> Any:
        """See `HTTPAdapter.send`."""
        return super().send(*what, **how | {"verify": self._certificates or True})


def _trust(session: Session, certificates: str | None) -> None:
    for scheme in ("http://", "https://"):
        session.mount(scheme, _Trusting(certificates))


def _credentials(options: Options, endpoint: str | None) -> Any:
    if endpoint and endpoint.startswith("http:"):
        return AnonymousCredentials()
    scopes = storage.Client.SCOPE
    with warnings.catch_warnings():
        # It warns of files that a stranger gave; this one is named by whom it logs in.
        warnings.simplefilter("ignore", DeprecationWarning)
        found = _found(options.credentials_file, scopes)
    if options.impersonate_service_account:
        from google.auth import impersonated_credentials  # a tenth of a second, mostly for nothing

        return impersonated_credentials.Credentials(
            source_credentials=found,
            target_principal=options.impersonate_service_account,
            target_scopes=list(scopes),
            lifetime=TOKEN_LIFETIME,
        )
    return found


def _found(path: str | None, scopes: Sequence[str]) -> Any:
    """Return the credentials in a file, or those that google-auth finds by itself."""
    try:
        if path:
            found, _ = google.auth.load_credentials_from_file(path, scopes=scopes)
        else:
            found, _ = google.auth.default(scopes=scopes)
    except (OSError, AttributeError, KeyError, TypeError) as error:
        # Not what the error says of what is in the file: it may be a key.
        why = error.strerror if isinstance(error, OSError) else "it has not the form of one"
        which = path or os.environ.get(CREDENTIALS, "of the default")
        msg = f"cannot use the credentials file {which}: {why}; {NO_CREDENTIALS}"
        raise AuthError(msg) from None
    return found
