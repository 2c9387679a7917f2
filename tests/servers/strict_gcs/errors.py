"""Refuse a request as GCS does: a status, a reason, a message, in its JSON.

Statuses and reasons are those of "HTTP status and error codes for JSON" in GCS's documentation.
"""

from __future__ import annotations

import json


class BrokenOffError(Exception):
    """The client went away in the middle of its body; there is nobody to answer."""


class ApiError(Exception):
    """An answer that is not a success. `headers` go with it."""

    def __init__(
        self, status: int, reason: str, message: str, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.message = message
        self.headers = headers or {}

    def body(self) -> bytes:
        """Say it in JSON; 304 has no body."""
        if self.status == 304:
            return b""
        detail = {"message": self.message, "domain": "global", "reason": self.reason}
        error = {"code": self.status, "message": self.message, "errors": [detail]}
        return json.dumps({"error": error}).encode()


def invalid(message: str, reason: str = "invalid") -> ApiError:
    """Refuse what makes no sense."""
    return ApiError(400, reason, message)


def required(what: str) -> ApiError:
    """Refuse what lacks something."""
    return ApiError(400, "required", f"Required parameter: {what}")


def no_credentials() -> ApiError:
    """Ask who it is."""
    return ApiError(401, "required", "Login Required", {"WWW-Authenticate": "Bearer"})


def wrong_credentials() -> ApiError:
    """Refuse a token that is wrong, or no longer right."""
    told = {"WWW-Authenticate": 'Bearer error="invalid_token"'}
    return ApiError(401, "authError", "Invalid Credentials", told)


def forbidden(permission: str) -> ApiError:
    """Refuse what the caller may not do."""
    told = f"The caller does not have {permission} access to the Google Cloud Storage resource."
    return ApiError(403, "forbidden", told)


def no_bucket() -> ApiError:
    """Tell that the bucket is not there."""
    return ApiError(404, "notFound", "The specified bucket does not exist.")


def no_object(bucket: str, name: str) -> ApiError:
    """Tell that the object, or that generation of it, is not there."""
    return ApiError(404, "notFound", f"No such object: {bucket}/{name}")


def no_route() -> ApiError:
    """Tell that there is nothing at that path for that method."""
    return ApiError(404, "notFound", "Not Found")


def gone(message: str) -> ApiError:
    """Tell that a session or a rewrite token was there and is not any more."""
    return ApiError(410, "gone", message)


def condition_not_met() -> ApiError:
    """Tell that a precondition does not hold."""
    told = "At least one of the pre-conditions you specified did not hold."
    return ApiError(412, "conditionNotMet", told)


def not_modified() -> ApiError:
    """Tell a reader that what it knows is still so."""
    return ApiError(304, "notModified", "Not Modified")
