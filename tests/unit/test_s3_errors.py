"""Classify what S3 and the way to it can answer: what the schedule does rests on nothing else."""

from __future__ import annotations

import http.client
import ssl
from typing import Any

import botocore.exceptions as sdk
import pytest
import urllib3.exceptions
from botocore.parsers import ResponseParserError

from uploader.errors import (
    AuthError,
    ConflictError,
    DamagedError,
    NotFoundError,
    PermanentError,
    SessionLostError,
    StoreError,
    ThrottledError,
    TransientError,
)
from uploader.store.http.refused import EndOfObjectError, RefusedError, code_of, status_of
from uploader.store.http.reply import NoHttpError
from uploader.store.s3 import errors
from uploader.store.s3.sdk_errors import classified_of_sdk

WHAT = "s3://bucket/key"

#: What each code means; those of the module are all here, so a change of one is a change of both.
CODES: dict[type[StoreError], set[str]] = {
    AuthError: {
        *("ExpiredToken", "ExpiredTokenException", "RequestExpired", "InvalidToken"),
        *("TokenRefreshRequired", "InvalidAccessKeyId", "InvalidClientTokenId"),
        *("SignatureDoesNotMatch", "RequestTimeTooSkewed", "UnauthorizedAccess", "401"),
    },
    ThrottledError: {
        *("SlowDown", "ServiceUnavailable", "503", "429", "TooManyRequests", "Throttling"),
        *("ThrottlingException", "RequestThrottled", "RequestLimitExceeded"),
        *("BandwidthLimitExceeded", "EC2ThrottledException"),
    },
    TransientError: {
        *("BadDigest", "InvalidDigest", "XAmzContentChecksumMismatch", "IncompleteBody"),
        *("XAmzContentSHA256Mismatch", "RequestTimeout", "ConditionalRequestConflict"),
        *("OperationAborted", "InternalError", "RestoreAlreadyInProgress"),
    },
    SessionLostError: {"NoSuchUpload", "InvalidPart", "InvalidPartOrder", "EntityTooSmall"},
    ConflictError: {"PreconditionFailed", "412"},
    NotFoundError: {"NoSuchKey", "NotFound", "404"},
    EndOfObjectError: {"InvalidRange", "416"},
}

#: For a code that nobody knows: the HTTP status decides.
STATUSES: dict[type[StoreError], set[int]] = {
    TransientError: {200, 408, 409, 500, 502, 504, 507, 509, 529, 599},
    ThrottledError: {429, 503},
    AuthError: {401},
    ConflictError: {412},
    PermanentError: {301, 307, 400, 403, 404, 405, 411, 413, 416, 501},
}

NO_CREDENTIALS = [
    sdk.NoCredentialsError(),
    sdk.PartialCredentialsError(provider="env", cred_var="AWS_SECRET_ACCESS_KEY"),
    sdk.CredentialRetrievalError(provider="process", error_msg="it exited with 1"),
    sdk.TokenRetrievalError(provider="sso", error_msg="expired"),
    sdk.ProfileNotFound(profile="nobody"),
    sdk.ConfigNotFound(path="/etc/aws"),
    sdk.ConfigParseError(path="/etc/aws", error="line 1"),
    sdk.MetadataRetrievalError(error_msg="no role"),
    sdk.UnauthorizedSSOTokenError(),
    sdk.SSOTokenLoadError(error_msg="not logged in"),
    sdk.InvalidConfigError(error_msg="no role"),
]

ON_THE_WAY = [
    sdk.EndpointConnectionError(endpoint_url="http://127.0.0.1:1"),
    sdk.ConnectTimeoutError(endpoint_url="http://127.0.0.1:1"),
    sdk.ReadTimeoutError(endpoint_url="http://127.0.0.1:1"),
    sdk.ConnectionClosedError(endpoint_url="http://127.0.0.1:1"),
    sdk.ProxyConnectionError(proxy_url="http://127.0.0.1:1"),
    sdk.HTTPClientError(error=OSError("broken pipe")),
    sdk.SSLError(endpoint_url="https://127.0.0.1:1", error="EOF occurred in violation of protocol"),
    sdk.ResponseStreamingError(error="cut off"),
    sdk.IncompleteReadError(actual_bytes=1, expected_bytes=2),
    ResponseParserError("no element found"),
    urllib3.exceptions.ProtocolError("cut off"),
    urllib3.exceptions.ReadTimeoutError(None, "", "too slow"),  # type: ignore[arg-type]
    http.client.IncompleteRead(b"half"),
    http.client.BadStatusLine("rubbish"),
    ConnectionResetError(104, "Connection reset by peer"),
    TimeoutError("timed out"),
    NoHttpError("the answer is too long"),
]


def answered(
    code: str | None, status: int = 400, *, operation: str = "PutObject", says: str = ""
) -> StoreError:
    """Return what an answer of the service is classified as."""
    said: dict[str, Any] = {"Message": says} if code is None else {"Code": code, "Message": says}
    answer: dict[str, Any] = {"Error": said, "ResponseMetadata": {"HTTPStatusCode": status}}
    return raised(sdk.ClientError(answer, operation), operation)


def raised(error: Exception, operation: str = "PutObject") -> StoreError:
    """Return what an error of the SDK is classified as."""
    with pytest.raises(StoreError) as caught, classified_of_sdk(operation, WHAT):
        raise error
    return caught.value


def test_a_refusal_on_the_wire_is_judged_as_the_sdks() -> None:
    """There is one table, whichever way a request went."""
    found = raised(RefusedError(503, "SlowDown", "Reduce your request rate."))
    assert type(found) is ThrottledError
    assert str(found) == f"PutObject of {WHAT}: SlowDown: Reduce your request rate"
    assert (code_of(found), status_of(found)) == ("SlowDown", 503)


def test_every_code_that_is_known_is_in_the_table_of_this_test() -> None:
    """And none besides."""
    known = {code: kind for kind, codes in CODES.items() for code in codes}
    assert known == errors._BY_CODE


@pytest.mark.parametrize(
    ("kind", "codes"), CODES.items(), ids=lambda it: getattr(it, "__name__", "")
)
@pytest.mark.parametrize("status", [200, 400, 403, 500])
def test_a_code_means_the_same_with_any_status(
    kind: type[StoreError], codes: set[str], status: int
) -> None:
    """Services do not agree on the status; and S3 itself answers 200 with an error in it."""
    for code in codes:
        assert type(answered(code, status, operation="PutObject")) is kind, code


@pytest.mark.parametrize(
    ("kind", "statuses"), STATUSES.items(), ids=lambda it: getattr(it, "__name__", "")
)
def test_a_code_that_is_not_known_is_judged_by_the_status(
    kind: type[StoreError], statuses: set[int]
) -> None:
    """What may pass is tried again, what the request itself is to blame for is not."""
    for status in statuses:
        assert type(answered("SomethingNew", status)) is kind, status


@pytest.mark.parametrize("code", ["AccessDenied", "NoSuchBucket", "InvalidStorageClass", "XAmz"])
def test_what_a_person_must_mend_is_permanent(code: str) -> None:
    """To try it again is of no use."""
    assert type(answered(code, 403)) is PermanentError


def test_an_answer_without_a_code_goes_by_its_status() -> None:
    """As every answer to a HEAD: it has no body."""
    assert type(answered(None, 503)) is ThrottledError
    assert type(answered("404", 404, operation="HeadObject")) is NotFoundError
    assert type(answered("403", 403, operation="HeadObject")) is PermanentError
    assert type(answered(None, 500)) is TransientError


@pytest.mark.parametrize("code", ["NoSuchKey", "404", "NoSuchUpload"])
@pytest.mark.parametrize("operation", sorted(errors._OF_A_SESSION))
def test_whatever_a_session_misses_is_the_session(operation: str, code: str) -> None:
    """Ceph says NoSuchKey for an upload that it does not know."""
    assert type(answered(code, 404, operation=operation)) is SessionLostError


def test_a_completion_with_a_bad_digest_needs_a_new_session() -> None:
    """Each part was right when it arrived: one of them is not the one that is meant."""
    assert type(answered("BadDigest", operation="CompleteMultipartUpload")) is SessionLostError
    assert type(answered("BadDigest", operation="UploadPart")) is TransientError


@pytest.mark.parametrize("operation", errors._PERMISSIONS)
def test_a_refusal_names_the_permission_that_is_missing(operation: str) -> None:
    """As it is written in a policy."""
    said = str(answered("AccessDenied", 403, operation=operation, says="Access Denied"))
    assert said.startswith(f"{operation} of {WHAT}: AccessDenied: Access Denied; allow s3:")
    assert said.endswith(errors._PERMISSIONS[operation])


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        ("NoSuchBucket", "make the bucket, or correct the destination"),
        ("ExpiredToken", "renew the credentials; the upload goes on by itself"),
        ("InvalidAccessKeyId", "check AWS_ACCESS_KEY_ID, or the profile"),
        ("SignatureDoesNotMatch", "check AWS_SECRET_ACCESS_KEY, or the profile"),
        ("RequestTimeTooSkewed", "set this machine's clock"),
        ("PermanentRedirect", "set the bucket's region: --region"),
        ("AuthorizationHeaderMalformed", "set the bucket's region: --region"),
        ("301", "set the bucket's region: --region"),
        ("InvalidStorageClass", "correct --storage-class"),
    ],
)
def test_what_a_person_can_mend_says_how(code: str, advice: str) -> None:
    """After what the service said itself."""
    said = str(answered(code, 403, says="It is so."))
    assert said == f"PutObject of {WHAT}: {code}: It is so; {advice}"
    assert set(errors._HINTS) >= {code}


@pytest.mark.parametrize("error", NO_CREDENTIALS, ids=lambda error: type(error).__name__)
def test_credentials_that_are_not_there_are_waited_for(error: Exception) -> None:
    """The message says where they can come from."""
    found = raised(error)
    assert type(found) is AuthError
    assert str(found).endswith(
        "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile, or the node's role"
    )
    assert found.__cause__ is error


@pytest.mark.parametrize("error", ON_THE_WAY, ids=lambda error: type(error).__name__)
def test_what_happens_on_the_way_passes(error: Exception) -> None:
    """Whatever layer noticed it; the service has not answered."""
    found = raised(error)
    assert type(found) is TransientError
    assert str(found).startswith(f"PutObject of {WHAT}: ")
    assert (code_of(found), status_of(found)) == ("", 0)


@pytest.mark.parametrize(
    "error",
    [
        sdk.SSLError(
            endpoint_url="https://127.0.0.1:1",
            error="[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed",
        ),
        ssl.SSLCertVerificationError("[SSL: CERTIFICATE_VERIFY_FAILED] unknown authority"),
    ],
    ids=["botocore", "ssl"],
)
def test_a_certificate_that_is_not_trusted_is_for_a_person_to_mend(error: Exception) -> None:
    """Retries do not help, and nothing is lost meanwhile."""
    found = raised(error)
    assert type(found) is AuthError
    assert str(found).endswith("name the authority's file: --ca-bundle")


@pytest.mark.parametrize(
    "error",
    [
        sdk.ParamValidationError(report="Invalid length for parameter Key"),
        sdk.UnknownServiceError(service_name="s4", known_service_names="s3"),
        sdk.InvalidRegionError(region_name="moon one"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_the_sdk_itself_refuses_is_permanent(error: Exception) -> None:
    """The same request is refused again."""
    found = raised(error)
    assert type(found) is PermanentError
    assert str(found).startswith(f"cannot PutObject {WHAT}: ")


def test_what_is_classified_already_passes_unchanged() -> None:
    """A body that turns out to be damaged while it is sent."""
    error = DamagedError("spool file damaged")
    assert raised(error) is error


def test_code_and_status_are_those_of_the_answer() -> None:
    """For those few who decide by more than the class."""
    found = answered("NotImplemented", 501)
    assert (code_of(found), status_of(found)) == ("NotImplemented", 501)
    assert type(found) is PermanentError


def test_what_is_no_failure_of_a_request_is_not_hidden() -> None:
    """A bug is not turned into an error of the store."""
    with pytest.raises(ZeroDivisionError), classified_of_sdk("PutObject", WHAT):
        raise ZeroDivisionError
