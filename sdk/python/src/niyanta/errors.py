"""What can go wrong: refusals of the API, failed workloads, and the errors of handlers."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from .models import Workload

__all__ = [
    "ApiError", "Conflict", "Forbidden", "InternalError", "InvalidInput", "InvalidState", "MethodNotAllowed",
    "NiyantaError", "NotFound", "RateLimited", "RunError", "TooLarge", "Unauthorized", "Unavailable",
    "WaitTimeout", "WorkloadFailed",
]


# The longest message of a coordinator that is shown, in characters.
MESSAGE_LIMIT = 10_000
NEWLINES = "\n\t"


def printable(text: str, also: str = "") -> str:
    """Returns a text of somebody else without what a terminal would obey."""
    return text if text.isprintable() else "".join(c if c.isprintable() or c in also else "?" for c in text)


class NiyantaError(Exception):
    """Base of all errors of this package."""


class ApiError(NiyantaError):
    """The coordinator refused a request or did not answer it. Each code has a class of its own."""

    #: The code of the API.
    code: str = "INTERNAL_ERROR"
    #: What to do about it.
    advice: ClassVar[str] = ""

    def __init__(
        self, message: str, *, code: str | None = None, status: int = 0, details: Mapping[str, Any] | None = None,
        request_id: str = "", retry_after: float = 0,
    ) -> None:
        message = printable(message[:MESSAGE_LIMIT], NEWLINES)
        super().__init__(message)
        if code is not None:
            self.code = printable(code[:100])
        self.message = message
        #: The HTTP status; 0: there was no answer.
        self.status = status
        #: What else the answer says.
        self.details: dict[str, Any] = dict(details or {})
        #: Names the request in the coordinator's log; empty: there was no answer.
        self.request_id = printable(request_id[:200])
        #: The span that the request was sent in, as a header traceparent; empty: it was sent in none.
        self.traceparent = ""
        #: Seconds to wait before the next try; 0: the coordinator did not say.
        self.retry_after = retry_after

    @property
    def field(self) -> str:
        """What is wrong in the request, such as "input_params.url"; empty: no single field."""
        value = self.details.get("field")
        return value if isinstance(value, str) else ""

    def __str__(self) -> str:
        text = f"{self.code}: {self.message}"
        if self.request_id:
            text += f" (request {self.request_id})"
        return f"{text}. {self.advice}" if self.advice else text

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self}>"


class InvalidInput(ApiError):
    """The request is not valid. `field` names what is wrong."""

    code = "INVALID_INPUT"
    advice = "Correct the request: it will never succeed as it is."


class InvalidState(ApiError):
    """The workload's status does not allow it. `details["status"]` is the status."""

    code = "INVALID_STATE"
    advice = "Look at the workload's status first: it does not allow this now."


class Unauthorized(ApiError):
    """The key is missing, wrong, expired or revoked."""

    code = "UNAUTHORIZED"
    advice = "Check the API key: it is missing, wrong, expired or revoked."


class Forbidden(ApiError):
    """The key's role does not allow it, or its customer is suspended."""

    code = "FORBIDDEN"
    advice = "Use a key of another role, or ask the operator whether the customer is suspended."


class NotFound(ApiError):
    """There is no such thing, or it is another customer's."""

    code = "NOT_FOUND"
    advice = "Check the id, and that the key is of the customer that owns it."


class MethodNotAllowed(ApiError):
    """The coordinator does not know this operation. It is older than this package, or newer."""

    code = "METHOD_NOT_ALLOWED"
    advice = "Compare the versions of this package and of the coordinator."


class Conflict(ApiError):
    """It exists already, is in use, or the idempotency key came with another request."""

    code = "CONFLICT"
    advice = "It exists already, is in use, or the idempotency key was used for another request."


class TooLarge(ApiError):
    """The request is larger than the API takes."""

    code = "TOO_LARGE"
    advice = "Send less in one request: store large data elsewhere and send its address."


class RateLimited(ApiError):
    """The customer sends too many requests."""

    code = "RATE_LIMITED"
    advice = "Send fewer requests, in batches, or try again after `retry_after` seconds."


class Unavailable(ApiError):
    """No coordinator answers, or it cannot serve now. The request may have been served."""

    code = "SERVICE_UNAVAILABLE"
    advice = "Check the address and that a coordinator runs there, or try again later."


class InternalError(ApiError):
    """A mistake in the coordinator."""

    code = "INTERNAL_ERROR"
    advice = "Report it with the request id."


_CLASSES: dict[str, type[ApiError]] = {
    c.code: c
    for c in (
        InvalidInput, InvalidState, Unauthorized, Forbidden, NotFound, MethodNotAllowed, Conflict, TooLarge,
        RateLimited, Unavailable, InternalError,
    )
}


def api_error(
    code: str, message: str, *, status: int, details: Mapping[str, Any], request_id: str, retry_after: float,
) -> ApiError:
    """Returns the error of the class that code has. A code that is not known stays in `code`."""
    return _CLASSES.get(code, ApiError)(
        message, code=code, status=status, details=details, request_id=request_id, retry_after=retry_after
    )


class WorkloadFailed(NiyantaError):
    """A workload ended without a result: it is FAILED or CANCELLED."""

    def __init__(self, workload: Workload) -> None:
        self.workload = workload
        self.status = workload.status
        self.error_type = workload.error_type
        reason = workload.error_message or workload.status_reason or ""
        what = f"{workload.error_type}: {reason}" if workload.error_type else reason
        id = workload.workload_id
        text = f"workload {id} is {workload.status}" + (f": {printable(what, NEWLINES)}" if what else "")
        #: What to do about it.
        self.advice = f"client.workloads.logs({id!r}) tells more, client.workloads.retry({id!r}) runs it again"
        super().__init__(f"{text}. {self.advice}")


class WaitTimeout(NiyantaError, TimeoutError):
    """A workload was not final in time. It goes on."""

    def __init__(self, workload: Workload, seconds: float) -> None:
        self.workload = workload
        super().__init__(
            f"workload {workload.workload_id} is {workload.status} after {seconds:g} s; it goes on: wait again"
        )


class RunError(NiyantaError):
    """What a handler raises to say how its failure is to be treated.

    Any other exception is a failure that is tried again, with the platform's backoff, as often as
    the workload's `max_retries` allows.
    """

    def __init__(
        self, message: str, *, error_type: str = "error", permanent: bool = False,
        retry_after: float | timedelta | None = None,
    ) -> None:
        super().__init__(message)
        #: The class of the error, which clients see as `error_type`.
        self.error_type = error_type
        #: Trying again cannot mend it: the workload is FAILED at once.
        self.permanent = permanent
        #: Seconds until the next try, at most a day; None: the platform's backoff.
        self.retry_after = retry_after.total_seconds() if isinstance(retry_after, timedelta) else retry_after
