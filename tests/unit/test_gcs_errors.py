"""Classify what GCS and the way to it can answer: what the schedule does rests on nothing else."""

from __future__ import annotations

import json
import ssl
import traceback
from typing import Any

import pytest
import requests.exceptions
import urllib3.exceptions
from google.api_core import exceptions as api
from google.auth import exceptions as auth
from google.cloud.storage.exceptions import InvalidResponse

from uploader.errors import (
    AuthError,
    ConflictError,
    DamagedError,
    ErrorClass,
    NotFoundError,
    PermanentError,
    SessionLostError,
    StoreError,
    ThrottledError,
    TransientError,
)
from uploader.store.gcs import errors
from uploader.store.gcs.errors import is_digest, refused, without_secrets
from uploader.store.gcs.sdk_errors import NO_CREDENTIALS, classified_of_sdk
from uploader.store.http.refused import EndOfObjectError, code_of, status_of
from uploader.store.http.reply import NoHttpError

WHAT = "gs://bucket/key"
URI = f"https://storage.googleapis.com/upload?uploadType=resumable&upload_id={'s' * 40}"

#: Statuses and reasons as "HTTP status and error codes for JSON" of the documentation has them.
ANSWERS: dict[type[StoreError], set[tuple[int, str]]] = {
    ThrottledError: {
        (429, "rateLimitExceeded"), (429, "userRateLimitExceeded"), (429, "usageLimits"), (429, ""),
        (403, "rateLimitExceeded"), (403, "userRateLimitExceeded"), (403, "quotaExceeded"),
        (403, "dailyLimitExceeded"), (503, "rateLimitExceeded"), (503, "userRateLimitExceeded"),
    },
    TransientError: {
        (503, "backendError"), (503, ""), (500, "backendError"), (500, "internalError"), (502, ""),
        (504, "gatewayTimeout"), (408, "uploadBrokenConnection"), (408, ""), (409, "conflict"),
    },
    AuthError: {
        (401, "authError"), (401, "required"), (401, "expired"), (401, "AuthenticationRequired"),
        (401, ""),
    },
    PermanentError: {
        (400, "invalid"), (400, "badRequest"), (400, "required"), (400, "parseError"),
        (403, "forbidden"), (403, "accountDisabled"), (403, "insufficientPermissions"),
        (403, "sslRequired"), (403, "retentionPolicyNotMet"), (403, ""), (405, "methodNotAllowed"),
        (411, ""), (413, "uploadTooLarge"), (301, ""), (307, ""), (501, "notImplemented"),
    },
    NotFoundError: {(404, "notFound"), (404, "")},
    SessionLostError: {(410, "gone"), (410, "")},
    ConflictError: {(412, "conditionNotMet"), (412, "")},
    EndOfObjectError: {(416, "requestedRangeNotSatisfiable"), (416, "")},
}  # fmt: skip

ON_THE_WAY = [
    requests.exceptions.ConnectionError("refused"),
    requests.exceptions.ConnectTimeout("too slow"),
    requests.exceptions.ReadTimeout("too slow"),
    requests.exceptions.ChunkedEncodingError("cut off"),
    requests.exceptions.ContentDecodingError("rubbish"),
    requests.exceptions.ProxyError("no way through"),
    requests.exceptions.SSLError("EOF occurred in violation of protocol"),
    requests.exceptions.JSONDecodeError("Expecting value", "<html>", 0),
    requests.exceptions.TooManyRedirects("in a circle"),
    auth.TransportError("the server of tokens does not answer"),
    auth.TimeoutError("too slow"),
    auth.RefreshError("it is busy", retryable=True),
    ConnectionResetError(104, "Connection reset by peer"),
    BrokenPipeError(32, "Broken pipe"),
    TimeoutError("timed out"),
    NoHttpError("the answer is too long"),
]

NO_CREDENTIALS_BY = [
    auth.DefaultCredentialsError("none were found"),
    auth.RefreshError("invalid_grant: Invalid JWT Signature.", {"error": "invalid_grant"}),
    auth.MalformedError("not in PEM"),
    auth.InvalidValue("no such thing"),
    auth.OAuthError("it was taken back"),
    auth.MutualTLSChannelError("no certificate"),
    auth.ReauthFailError("by a person"),
]


def document(status: int, reason: str, message: str = "It is so.") -> bytes:
    """Return the body of a refusal, as the API writes it."""
    one = {"message": message, "domain": "global", "reason": reason}
    said = {"code": status, "message": message, "errors": [one] if reason else []}
    return json.dumps({"error": said}).encode()


def answered(
    status: int, reason: str = "", *, operation: str = "insert", says: str = "It is so."
) -> StoreError:
    """Return what an answer of the service is classified as."""
    return raised(refused(status, document(status, reason, says)), operation)


def raised(error: Exception, operation: str = "insert") -> StoreError:
    """Return what an error is classified as."""
    with pytest.raises(StoreError) as caught, classified_of_sdk(operation, WHAT):
        raise error
    return caught.value


@pytest.mark.parametrize(
    ("kind", "status", "reason"),
    [(kind, *answer) for kind, answers in ANSWERS.items() for answer in sorted(answers)],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_each_status_and_reason_means_one_thing(
    kind: type[StoreError], status: int, reason: str
) -> None:
    """As the documentation lists them; the reason goes over the status."""
    assert type(answered(status, reason)) is kind


@pytest.mark.parametrize("status", range(300, 600))
def test_no_status_is_without_a_meaning(status: int) -> None:
    """What may pass is tried again; nothing that is unknown is taken for a success."""
    found = answered(status, "somethingNew")
    passes = status in (408, 409, 410, 429) or (status >= 500 and status != 501)
    assert isinstance(found, TransientError) is passes, type(found)


def test_too_many_requests_ask_for_fewer_whatever_the_status() -> None:
    """Not a dead letter (403), and not only patience (503)."""
    for status in (403, 429, 503):
        assert answered(status, "rateLimitExceeded").error_class is ErrorClass.THROTTLED
    assert answered(403, "forbidden").error_class is ErrorClass.PERMANENT


@pytest.mark.parametrize("operation", sorted(errors._OF_A_SESSION))
@pytest.mark.parametrize("status", [404, 410])
def test_whatever_a_session_misses_is_the_session(operation: str, status: int) -> None:
    """Of an object, 404 is an answer; of a session it means: begin again."""
    assert type(answered(status, "notFound", operation=operation)) is SessionLostError


@pytest.mark.parametrize("operation", ["get", "insert", "part", "rewrite", "list", "resumable"])
def test_a_bucket_that_is_not_there_is_for_a_person_to_mend(operation: str) -> None:
    """Not an object that is missing: to create it would be tried in vain, again and again."""
    found = answered(
        404, "notFound", operation=operation, says="The specified bucket does not exist."
    )
    if operation == "part":
        assert type(found) is SessionLostError  # its beginning will tell
    else:
        assert type(found) is PermanentError
        assert str(found).endswith("; make the bucket, or correct the destination")


@pytest.mark.parametrize("status", [400, 412])
@pytest.mark.parametrize(
    "says",
    [
        'Provided CRC32C "AAAAAA==" doesn\'t match calculated CRC32C "AAAABB==".',
        'Provided MD5 hash "x" doesn\'t match calculated MD5 hash "y".',
    ],
)
def test_bytes_that_were_damaged_on_the_way_are_sent_again(status: int, says: str) -> None:
    """They were right when they were read. A session has the wrong ones: it is begun anew."""
    whole = answered(status, "invalid", says=says)
    assert type(whole) is TransientError
    assert is_digest(whole)
    assert type(answered(status, "invalid", says=says, operation="part")) is SessionLostError
    assert not is_digest(answered(400, "invalid"))


# -- what is said -------------------------------------------------------------------------------


def test_an_error_says_what_the_service_said() -> None:
    """After what was asked, and of what; with the code for those who decide by it."""
    found = answered(503, "backendError", says="Backend Error.")
    assert str(found) == f"insert of {WHAT}: backendError: Backend Error"
    assert (code_of(found), status_of(found)) == ("backendError", 503)


@pytest.mark.parametrize("operation", errors._PERMISSIONS)
def test_a_refusal_names_the_permission_that_is_missing(operation: str) -> None:
    """As it is written in a role."""
    said = str(answered(403, "forbidden", operation=operation, says="No access."))
    assert said.startswith(f"{operation} of {WHAT}: forbidden: No access; allow storage.")
    assert said.endswith(errors._PERMISSIONS[operation])


@pytest.mark.parametrize(
    ("status", "reason", "says", "advice"),
    [
        (401, "authError", "Invalid Credentials", "renew the credentials"),
        (
            400, "required",
            "Bucket is a requester pays bucket but no user project provided.", "--user-project",
        ),
        (404, "notFound", "The specified bucket does not exist.", "make the bucket"),
    ],
)  # fmt: skip
def test_what_a_person_can_mend_says_how(status: int, reason: str, says: str, advice: str) -> None:
    """After what the service said itself."""
    said = str(answered(status, reason, says=says))
    assert said.partition("; ")[2].find(advice) >= 0, said
    assert says.rstrip(".") in said


BODIES: list[Any] = [
    b"",
    b"<html>502 Bad Gateway</html>",
    b"Not Found",
    b"[]",
    b"null",
    b'"text"',
    b"7",
    b'{"error": "invalid_grant"}',
    b'{"error": null}',
    b'{"error": []}',
    b'{"error": {}}',
    b'{"error": {"errors": []}}',
    b'{"error": {"errors": {}}}',
    b'{"error": {"errors": [null]}}',
    b'{"error": {"errors": ["x"], "message": 7}}',
    b'{"error": {"errors": [{"reason": {}}], "message": ["x"]}}',
    document(503, "backendError")[:-20],
    b"\xff\xfe\x00" * 9,
    b"{" * 100_000,
    b"[" * 100_000,
]


@pytest.mark.parametrize("body", BODIES, ids=lambda body: repr(body[:30]))
def test_an_answer_that_is_no_refusal_of_the_api_goes_by_its_status(body: bytes) -> None:
    """As of a proxy on the way, or one that was cut off; nothing in it can break anything."""
    found = raised(refused(503, body))
    assert isinstance(found, TransientError)
    assert type(raised(refused(403, body))) is PermanentError
    assert type(raised(refused(412, body))) is ConflictError
    assert status_of(found) == 503


@pytest.mark.parametrize("body", [b"x" * (5 << 20), document(400, "invalid", "x" * (5 << 20))])
def test_a_huge_answer_makes_no_huge_message(body: bytes) -> None:
    """It is stored with the upload, and shown."""
    assert len(str(raised(refused(400, body)))) < 3000


# -- the way there ------------------------------------------------------------------------------


@pytest.mark.parametrize("error", ON_THE_WAY, ids=lambda error: type(error).__name__)
def test_what_happens_on_the_way_passes(error: Exception) -> None:
    """Whatever layer noticed it; the service has not answered."""
    found = raised(error)
    assert type(found) is TransientError
    assert status_of(found) == 0


@pytest.mark.parametrize("error", NO_CREDENTIALS_BY, ids=lambda error: type(error).__name__)
def test_credentials_that_are_not_there_are_waited_for(error: Exception) -> None:
    """The message says where they can come from."""
    found = raised(error)
    assert type(found) is AuthError
    assert str(found).endswith(NO_CREDENTIALS)


def test_a_refused_login_tells_nothing_of_the_file_of_the_key() -> None:
    """The SDK's own error may hold all of it, in its arguments and in its cause."""
    secret = "-----BEGIN PRIVATE KEY-----"
    error = auth.RefreshError("no", {"private_key": secret})
    error.__cause__ = ValueError(secret)
    found = raised(error)
    assert secret not in "".join(traceback.format_exception(found))
    assert secret not in repr(found)


@pytest.mark.parametrize(
    "error",
    [
        requests.exceptions.SSLError(
            urllib3.exceptions.MaxRetryError(
                None,  # type: ignore[arg-type]
                "/",
                ssl.SSLCertVerificationError("[SSL: CERTIFICATE_VERIFY_FAILED] unknown"),
            )
        ),
        ssl.SSLCertVerificationError("[SSL: CERTIFICATE_VERIFY_FAILED] unknown authority"),
        auth.TransportError(
            requests.exceptions.SSLError("[SSL: CERTIFICATE_VERIFY_FAILED] unknown authority")
        ),
    ],
    ids=["requests", "ssl", "google.auth"],
)
def test_a_certificate_that_is_not_trusted_is_for_a_person_to_mend(error: Exception) -> None:
    """Retries do not help, and nothing is lost meanwhile."""
    found = raised(error)
    assert type(found) is AuthError
    assert str(found).endswith("name the authority's file: --ca-bundle")


class _Response:
    """What the SDK keeps of an answer."""

    def __init__(self, status: int, content: bytes) -> None:
        self.status_code, self.content = status, content
        self.headers: dict[str, str] = {}
        self.text = content.decode()


@pytest.mark.parametrize(
    ("kind", "status", "reason"),
    [
        (ThrottledError, 429, "rateLimitExceeded"),
        (ThrottledError, 403, "userRateLimitExceeded"),
        (PermanentError, 403, "forbidden"),
        (AuthError, 401, "authError"),
        (ConflictError, 412, "conditionNotMet"),
        (NotFoundError, 404, "notFound"),
        (TransientError, 503, "backendError"),
    ],
)
def test_a_refusal_by_way_of_the_sdk_is_judged_as_one_on_the_wire(
    kind: type[StoreError], status: int, reason: str
) -> None:
    """There is one table, whichever way a request went."""
    response = _Response(status, document(status, reason))
    by_api = api.from_http_status(status, "It is so.", response=response)
    for error in (by_api, InvalidResponse(response, "Request failed")):
        found = raised(error, "list")
        assert type(found) is kind
        assert str(found) == str(answered(status, reason, operation="list"))


def test_an_error_of_the_sdk_without_an_answer_goes_by_its_class() -> None:
    """As it makes some itself."""
    assert type(raised(api.ServiceUnavailable("down"))) is TransientError
    assert type(raised(api.Forbidden("no"))) is PermanentError
    assert type(raised(api.TooManyRequests("slower"))) is ThrottledError


def test_what_the_sdk_itself_refuses_is_permanent() -> None:
    """Settings that do not go together are refused again."""
    found = raised(ValueError("cannot use a universe domain with an emulator"))
    assert type(found) is PermanentError
    assert str(found).startswith(f"cannot insert {WHAT}: ")


def test_what_is_classified_already_passes_unchanged() -> None:
    """A body that turns out to be damaged while it is sent."""
    error = DamagedError("spool file damaged")
    assert raised(error) is error


def test_what_is_no_failure_of_a_request_is_not_hidden() -> None:
    """A bug is not turned into an error of the store."""
    with pytest.raises(ZeroDivisionError), classified_of_sdk("insert", WHAT):
        raise ZeroDivisionError


# -- secrets ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        f"no connection to {URI}",
        f"HTTPSConnectionPool(host='x'): Max retries exceeded with url: {URI} (Caused by ...)",
        f"no such session: {'s' * 40}",
        f"{URI}&upload_id=another",
    ],
)
def test_a_session_is_recognised_in_no_message(text: str) -> None:
    """Neither by a URI in it nor by the id alone, if it is known which one."""
    said = without_secrets(text, URI)
    assert "sss" not in said
    assert "another" not in said
    assert without_secrets("a plain message", URI) == "a plain message"


def test_what_the_service_says_of_a_session_is_without_its_secret() -> None:
    """It repeats the request, at times."""
    found = raised(refused(400, document(400, "invalid", f"bad request: {URI}"), URI), "part")
    assert "sss" not in "".join(traceback.format_exception(found))
    assert "bad request" in str(found)


def test_an_error_of_requests_is_told_without_the_sessions_uri() -> None:
    """It names what it asked for, and so does its traceback."""
    found = raised(requests.exceptions.ConnectionError(f"cannot reach {URI}"), "part")
    assert "sss" not in "".join(traceback.format_exception(found))
