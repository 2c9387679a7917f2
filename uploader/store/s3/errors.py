"""Classify what S3, and the way to it, can answer; once, here.

Error codes are those of the S3 API reference, "Error responses"; what other services answer instead
was seen at SeaweedFS, MiniStack, LocalStack, Ceph and rclone.
"""

from __future__ import annotations

from http import HTTPStatus

from uploader.errors import (
    AuthError,
    ConflictError,
    NotFoundError,
    PermanentError,
    SessionLostError,
    StoreError,
    ThrottledError,
    TransientError,
)
from uploader.store.http.refused import EndOfObjectError, RefusedError, passes

_BY_CODE: dict[str, type[StoreError]] = {
    **dict.fromkeys(
        [
            "ExpiredToken", "ExpiredTokenException", "RequestExpired", "InvalidToken",
            "TokenRefreshRequired", "InvalidAccessKeyId", "InvalidClientTokenId",
            "SignatureDoesNotMatch", "RequestTimeTooSkewed", "UnauthorizedAccess", "401",
        ],
        AuthError,
    ),
    **dict.fromkeys(
        [
            "SlowDown", "ServiceUnavailable", "503", "429", "TooManyRequests", "Throttling",
            "ThrottlingException", "RequestThrottled", "RequestLimitExceeded",
            "BandwidthLimitExceeded", "EC2ThrottledException",
        ],
        ThrottledError,
    ),
    # The bytes were checked as they were read: what differs there was damaged on the way.
    **dict.fromkeys(
        [
            "BadDigest", "InvalidDigest", "XAmzContentChecksumMismatch", "IncompleteBody",
            "XAmzContentSHA256Mismatch", "RequestTimeout", "ConditionalRequestConflict",
            "OperationAborted", "InternalError", "RestoreAlreadyInProgress",
        ],
        TransientError,
    ),
    # The parts that the service has are not those that we have notes of: only a new session helps.
    **dict.fromkeys(
        ["NoSuchUpload", "InvalidPart", "InvalidPartOrder", "EntityTooSmall"], SessionLostError
    ),
    **dict.fromkeys(["PreconditionFailed", "412"], ConflictError),
    **dict.fromkeys(["NoSuchKey", "NotFound", "404"], NotFoundError),
    **dict.fromkeys(["InvalidRange", "416"], EndOfObjectError),
}  # fmt: skip

#: What a role must be allowed, by operation; see "Actions defined by Amazon S3".
_PERMISSIONS = {
    "PutObject": "s3:PutObject",
    "CreateMultipartUpload": "s3:PutObject",
    "UploadPart": "s3:PutObject",
    "CompleteMultipartUpload": "s3:PutObject",
    "AbortMultipartUpload": "s3:AbortMultipartUpload",
    "ListParts": "s3:ListMultipartUploadParts",
    "ListMultipartUploads": "s3:ListBucketMultipartUploads",
    "HeadObject": "s3:GetObject, and s3:ListBucket to tell what is missing from what is forbidden",
    "GetObject": "s3:GetObject, and s3:ListBucket to tell what is missing from what is forbidden",
    "ListObjectsV2": "s3:ListBucket",
    "HeadBucket": "s3:ListBucket",
    "DeleteObject": "s3:DeleteObject",
    "CopyObject": "s3:GetObject and s3:PutObject",
    "UploadPartCopy": "s3:GetObject and s3:PutObject",
}

_OF_A_SESSION = frozenset(
    [
        "UploadPart",
        "UploadPartCopy",
        "ListParts",
        "CompleteMultipartUpload",
        "AbortMultipartUpload",
    ]
)

_HINTS = {
    "NoSuchBucket": "make the bucket, or correct the destination",
    "ExpiredToken": "renew the credentials; the upload goes on by itself",
    "InvalidAccessKeyId": "check AWS_ACCESS_KEY_ID, or the profile",
    "SignatureDoesNotMatch": "check AWS_SECRET_ACCESS_KEY, or the profile",
    "RequestTimeTooSkewed": "set this machine's clock",
    "AuthorizationHeaderMalformed": "set the bucket's region: --region",
    "PermanentRedirect": "set the bucket's region: --region",
    "301": "set the bucket's region: --region",
    "InvalidStorageClass": "correct --storage-class",
}


def of_refusal(operation: str, what: str, refused: RefusedError) -> StoreError:
    """Return what a service's refusal means."""
    status, code = refused.status, refused.code
    kind = _BY_CODE.get(code) or _by_status(status)
    if operation == "CompleteMultipartUpload" and code == "BadDigest":
        kind = SessionLostError  # each part was right: some part is not the one that we mean
    if operation in _OF_A_SESSION and kind is NotFoundError:
        kind = SessionLostError  # Ceph says NoSuchKey
    message = f"{operation} of {what}: {code}"
    if refused.message and refused.message != code:
        message += f": {refused.message.rstrip('. ')}"
    if code in _HINTS:
        message += f"; {_HINTS[code]}"
    elif status == HTTPStatus.FORBIDDEN and kind is PermanentError:
        message += f"; allow {_PERMISSIONS.get(operation, operation)}"
    return kind(message)


def _by_status(status: int) -> type[StoreError]:
    if status == HTTPStatus.UNAUTHORIZED:
        return AuthError
    if status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
        return ThrottledError
    if status == HTTPStatus.PRECONDITION_FAILED:
        return ConflictError
    return TransientError if passes(status) else PermanentError
