"""Turn what the SDK can raise into this package's errors; what the service said, as it said it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import requests.exceptions
from google.api_core.exceptions import GoogleAPICallError
from google.auth import exceptions as auth
from google.cloud.storage.exceptions import InvalidResponse

from uploader.errors import AuthError, PermanentError
from uploader.store.gcs.errors import of_refusal, refused, without_secrets
from uploader.store.http.refused import RefusedError, classified, on_the_way

if TYPE_CHECKING:
    from collections.abc import Iterator

NO_CREDENTIALS = (
    "name a service account's file in GOOGLE_APPLICATION_CREDENTIALS or --credentials-file, run "
    "`gcloud auth application-default login`, or give the node a service account"
)


@contextmanager
def classified_of_sdk(operation: str, what: str) -> Iterator[None]:
    """Turn whatever a call of the SDK can raise into a `StoreError`; see `classified`."""
    try:
        with classified(operation, what, of_refusal), _without_secrets(operation, what):
            yield
    except (GoogleAPICallError, InvalidResponse) as error:
        cause = _refused(error)
        raise of_refusal(operation, what, cause) from cause
    except (auth.TransportError, auth.TimeoutError) as error:
        raise on_the_way("authorisation", what, error) from error
    except auth.GoogleAuthError as error:
        if getattr(error, "retryable", False):
            raise on_the_way("authorisation", what, error) from error
        msg = f"no usable credentials for {what}: {_said(error)}; {NO_CREDENTIALS}"
        raise AuthError(msg) from None  # a traceback would show what `_said` leaves out
    except ValueError as error:  # of settings that do not go together
        msg = f"cannot {operation} {what}: {error}"
        raise PermanentError(msg) from error


@contextmanager
def _without_secrets(operation: str, what: str) -> Iterator[None]:
    """Classify what `requests` raises before others see it as the `OSError` that it is, too."""
    try:
        yield
    except requests.exceptions.RequestException as error:
        told = ConnectionError(without_secrets(str(error)))
        raise on_the_way(operation, what, told) from None  # a traceback would show the session


def _said(error: auth.GoogleAuthError) -> str:
    """Return what google-auth says; the repr of a cause may hold the whole file of a key."""
    return ": ".join(str(one) for one in error.args if isinstance(one, (str, Exception)))


def _refused(error: GoogleAPICallError | InvalidResponse) -> RefusedError:
    response = error.response
    status = getattr(response, "status_code", None) or getattr(error, "code", None) or 0
    told = refused(int(status), getattr(response, "content", b"") or b"")
    return told if told.message else RefusedError(told.status, told.code, str(error))
