"""Tell what goes wrong on the way to a service apart from what it refuses."""

from __future__ import annotations

from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING

from uploader.errors import AuthError, PermanentError, StoreError, TransientError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


MAX_CODE = 100  #: characters of a service's code that are kept
MAX_WORDS = 1000  #: characters of its words: they are stored, and logged at each attempt


class RefusedError(Exception):
    """The service's answer is not a success."""

    def __init__(self, status: int, code: str, message: str) -> None:
        """Carry the HTTP status, and the service's own code and words; "" where it has none.

        Of its words no more than a person reads, and nothing that a terminal would act on.
        """
        self.status = status
        self.code, self.message = (
            _plain(code)[:MAX_CODE] or str(status),
            _plain(message)[:MAX_WORDS],
        )
        super().__init__(f"{status} {self.code} {message}")


class EndOfObjectError(PermanentError):
    """The range that was asked for begins at the object's end, or after it."""


@contextmanager
def classified(
    operation: str, what: str, of_refusal: Callable[[str, str, RefusedError], StoreError]
) -> Iterator[None]:
    """Turn whatever a request on the wire can raise into a `StoreError` that says what to do.

    Args:
        operation: as the service's API calls it.
        what: the URL it was about.
        of_refusal: tells what a refusal by this service means.
    """
    try:
        yield
    except StoreError:
        raise
    except RefusedError as error:
        raise of_refusal(operation, what, error) from error
    except OSError as error:
        raise on_the_way(operation, what, error) from error


def on_the_way(operation: str, what: str, error: Exception) -> StoreError:
    """Return what a fault between us and the service means."""
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        msg = (
            f"the TLS certificate at {what} is not trusted: {error}; name the authority's file: "
            "--ca-bundle"
        )
        return AuthError(msg)
    return TransientError(f"{operation} of {what}: {error}")


def _plain(text: str) -> str:
    return "".join(one if one.isprintable() else " " for one in text[: 2 * MAX_WORDS]).strip()


def code_of(error: StoreError) -> str:
    """Return the service's own code for an error, as AccessDenied; "" if it never answered."""
    cause = error.__cause__
    return cause.code if isinstance(cause, RefusedError) else ""


def status_of(error: StoreError) -> int:
    """Return the HTTP status of an error; 0 if the service never answered."""
    cause = error.__cause__
    return cause.status if isinstance(cause, RefusedError) else 0


def passes(status: int) -> bool:
    """Tell whether an HTTP status means a fault that passes; 0: there was no answer."""
    fault_of_service = status >= HTTPStatus.INTERNAL_SERVER_ERROR
    return (
        status < HTTPStatus.MULTIPLE_CHOICES  # an error inside a 200
        or status in (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.CONFLICT)
        or (fault_of_service and status != HTTPStatus.NOT_IMPLEMENTED)
    )
