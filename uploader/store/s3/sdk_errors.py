"""Turn what the SDK can raise into this package's errors; what the service said, as it said it."""

from __future__ import annotations

import http.client
from contextlib import contextmanager
from typing import TYPE_CHECKING

import botocore.exceptions as sdk
import urllib3.exceptions
from botocore.parsers import ResponseParserError

from uploader.errors import AuthError, PermanentError
from uploader.store.http.refused import RefusedError, classified, on_the_way
from uploader.store.s3.errors import of_refusal

if TYPE_CHECKING:
    from collections.abc import Iterator

_NO_CREDENTIALS = (
    sdk.NoCredentialsError,
    sdk.PartialCredentialsError,
    sdk.CredentialRetrievalError,
    sdk.TokenRetrievalError,
    sdk.NoAuthTokenError,
    sdk.UnknownTokenProviderError,
    sdk.RefreshWithMFAUnsupportedError,
    sdk.SSOError,
    sdk.LoginError,
    sdk.ProfileNotFound,
    sdk.ConfigNotFound,
    sdk.ConfigParseError,
    sdk.MetadataRetrievalError,
    sdk.InvalidConfigError,
)

_ON_THE_WAY = (
    sdk.HTTPClientError,
    sdk.ConnectionError,
    sdk.IncompleteReadError,
    sdk.ChecksumError,
    ResponseParserError,
    urllib3.exceptions.HTTPError,
    http.client.HTTPException,
)


@contextmanager
def classified_of_sdk(operation: str, what: str) -> Iterator[None]:
    """Turn whatever a call of the SDK can raise into a `StoreError`; see `classified`."""
    try:
        with classified(operation, what, of_refusal):
            yield
    except sdk.ClientError as error:
        refused = _refused(error)
        raise of_refusal(operation, what, refused) from refused
    except _NO_CREDENTIALS as error:
        msg = (
            f"no usable credentials for {what}: {error}; set AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY, a profile, or the node's role"
        )
        raise AuthError(msg) from error
    except _ON_THE_WAY as error:
        raise on_the_way(operation, what, error) from error
    except sdk.BotoCoreError as error:
        msg = f"cannot {operation} {what}: {error}"
        raise PermanentError(msg) from error


def _refused(error: sdk.ClientError) -> RefusedError:
    said = error.response.get("Error", {})
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return RefusedError(int(status), str(said.get("Code") or ""), str(said.get("Message") or ""))
