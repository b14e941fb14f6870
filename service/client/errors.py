"""What can go wrong for a client, typed by what the caller can do about it.

LongstreamError
├── TransportError      no answer came: connection refused, broken or timed out
├── ProtocolError       an answer came that the contract does not know
├── Invalid             400, 415, 422, or never sent: the request is wrong
├── Unauthorized        401, 403
├── NotFound            404
├── Conflict            409: contradicts what is stored; see `expected_seq`
├── Gone                410: the session never comes back
├── PreconditionFailed  412
├── PayloadTooLarge     413
├── Unavailable         408, 429, 502, 503, 504: come back later
└── ServerError         any other 5xx
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

import httpx

_LONGEST_DETAIL: Final = 300
_CLIENT_ERRORS: Final = 400
_ERRNO: Final = re.compile(r"^\[Errno -?\d+\] ")
_SERVER_ERRORS: Final = 500


class LongstreamError(Exception):
    """Base of all errors of this package.

    Args:
        status: HTTP status, or None if no answer came.
        code: Stable identifier, e.g. `sequence_conflict`.
        detail: One sentence for a person.
        problem: The whole problem document; empty where there was none.
        request_id: What the service's log calls this request.
    """

    def __init__(
        self,
        status: int | None,
        code: str,
        detail: str,
        problem: Mapping[str, Any] | None = None,
        request_id: str | None = None,
    ) -> None:
        super().__init__(status, code, detail, problem, request_id)
        self.status = status
        self.code = code
        self.detail = detail
        self.problem: dict[str, Any] = dict(problem or {})
        self.request_id = request_id

    def __str__(self) -> str:
        where = [self.code]
        if self.status is not None:
            where.append(f"HTTP {self.status}")
        if self.request_id is not None:
            where.append(f"request {self.request_id}")
        return f"{self.detail} ({', '.join(where)})"

    @property
    def next_seq(self) -> int | None:
        """How far a request of several chunks came before it failed."""
        return _integer(self.problem.get("next_seq"))

    @property
    def expected_seq(self) -> int | None:
        """The sequence number the session waits for, on a conflict about order."""
        return _integer(self.problem.get("expected_seq"))


class TransportError(LongstreamError):
    """No answer came; whether the request took effect is unknown."""


class ProtocolError(LongstreamError):
    """The answer is not one of this service, or of another version of it."""


class Invalid(LongstreamError):
    """The request is wrong and will stay so."""


class Unauthorized(LongstreamError):
    """The API key is missing, unknown or not allowed to do this."""


class NotFound(LongstreamError):
    """There is no such session or model for this caller."""


class Conflict(LongstreamError):
    """The request contradicts what is stored."""


class Gone(LongstreamError):
    """The session was deleted or lost and never comes back."""


class PreconditionFailed(LongstreamError):
    """The session changed since its entity tag was read."""


class PayloadTooLarge(LongstreamError):
    """The request is over a limit, which the problem document names."""


class Unavailable(LongstreamError):
    """The service is busy, draining or starting."""


class ServerError(LongstreamError):
    """The service failed; its log has the trace under `request_id`."""


_BY_STATUS: Final[dict[int, type[LongstreamError]]] = {
    401: Unauthorized,
    403: Unauthorized,
    404: NotFound,
    409: Conflict,
    410: Gone,
    412: PreconditionFailed,
    408: Unavailable,
    413: PayloadTooLarge,
    429: Unavailable,
    502: Unavailable,
    503: Unavailable,
    504: Unavailable,
}


def error_of_problem(
    status: int, problem: Mapping[str, Any], request_id: str | None = None
) -> LongstreamError:
    """Build the typed error of a problem document."""
    nested = problem.get("error")
    code = problem.get("code") or (nested.get("code") if isinstance(nested, Mapping) else None)
    detail = problem.get("detail") or problem.get("title") or f"the service answered {status}"
    named = problem.get("request_id", request_id)
    return _class_of(status)(
        status,
        str(code or f"http_{status}"),
        str(detail),
        problem,
        None if named is None else str(named),
    )


def error_of_response(response: httpx.Response) -> LongstreamError:
    """Build the typed error of an answer that is no success; its body must have been read."""
    request_id = response.headers.get("X-Request-Id")
    try:
        problem = response.json()
    except (ValueError, RecursionError):
        # A proxy in front of the service speaks plain text or HTML, and HEAD speaks nothing.
        problem = None
    if not isinstance(problem, dict):
        text = " ".join(response.text.split())[:_LONGEST_DETAIL]
        problem = {"detail": text} if text else {}
    return error_of_problem(response.status_code, problem, request_id)


def invalid(detail: str) -> Invalid:
    """Build the error of a request that cannot even be sent."""
    return Invalid(None, "invalid_request", detail)


def error_of_transport(error: httpx.RequestError) -> TransportError:
    """Wrap a failure below HTTP."""
    code = "timeout" if isinstance(error, httpx.TimeoutException) else "connection_failed"
    return TransportError(None, code, _ERRNO.sub("", str(error)) or type(error).__name__)


def retry_after_s(response: httpx.Response) -> float | None:
    """Read `Retry-After`, seconds or a date, as seconds from now; None if absent or unreadable."""
    value = response.headers.get("Retry-After", "").strip()
    if value.isdecimal():
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return max(0.0, (moment - datetime.now(UTC)).total_seconds())
    except (ValueError, OverflowError):
        return None


def _class_of(status: int) -> type[LongstreamError]:
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if status >= _SERVER_ERRORS:
        return ServerError
    return Invalid if status >= _CLIENT_ERRORS else ProtocolError


def _integer(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
