"""The client without input and output: what to send, when to wait, what an answer means.

Every method of the clients is a *flow*, a generator that yields actions (`Send`, `Pause`) and is sent their
outcomes. `LongstreamClient` and `AsyncLongstreamClient` differ only in how they perform an action.
"""

import json
import random
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias, TypeVar

import httpx

from service.client.errors import (
    LongstreamError,
    ProtocolError,
    error_of_response,
    error_of_transport,
    invalid,
    retry_after_s,
)

T = TypeVar("T")

_TRY_AGAIN: Final = frozenset({408, 429, 502, 503, 504})
_LONGEST_EXPONENT: Final = 32


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How long a call that may be repeated goes on after it first failed.

    The default outlives a service that is killed and started again.

    Attributes:
        retry_for_s: Seconds after the first failure in which new attempts begin; 0 never retries.
        first_wait_s: Pause after the first failure; doubles with each one.
        longest_wait_s: Where the doubling ends. `Retry-After` may ask for more.
        notify: Called before each pause with the failure and the seconds until the next attempt.
    """

    retry_for_s: float = 60.0
    first_wait_s: float = 0.1
    longest_wait_s: float = 5.0
    notify: Callable[[LongstreamError, float], None] | None = None

    def wait_s(self, failures: int, jitter: float) -> float:
        """Return the pause after that many failures; a jitter of 0 to 1 gives half to all of it."""
        doubled = self.first_wait_s * 2.0 ** min(failures - 1, _LONGEST_EXPONENT)
        return min(doubled, self.longest_wait_s) * (0.5 + jitter / 2)


DEFAULT_RETRY: Final = RetryPolicy()


@dataclass(frozen=True, slots=True)
class Call:
    """A request to make.

    Attributes:
        method: HTTP method.
        path: Path below the base URL, escaped.
        repeatable: True if sending it twice does what sending it once does.
        params: Query.
        body: What is sent, or None.
        media_type: The body's type.
        idempotency_key: What makes the request safe to repeat, where its content does not.
    """

    method: str
    path: str
    repeatable: bool = True
    params: Mapping[str, str | int] = field(default_factory=dict)
    body: bytes | None = None
    media_type: str = "application/json"
    idempotency_key: str | None = None

    @property
    def headers(self) -> dict[str, str]:
        """Headers that the request needs."""
        headers = {} if self.body is None else {"Content-Type": self.media_type}
        if self.idempotency_key is not None:
            headers["Idempotency-Key"] = self.idempotency_key
        return headers


@dataclass(frozen=True, slots=True)
class Send:
    """Make the request; the outcome is a response that was read, or what kept it from coming."""

    call: Call


@dataclass(frozen=True, slots=True)
class Pause:
    """Let time pass; the outcome is None."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Answer:
    """A success.

    Attributes:
        response: The response, read.
        attempts: Requests it took.
    """

    response: httpx.Response
    attempts: int


Action: TypeAlias = Send | Pause
Outcome: TypeAlias = httpx.Response | httpx.RequestError | None
Flow: TypeAlias = Generator[Action, Outcome, T]


def exchange(
    call: Call, retry: RetryPolicy, clock: Callable[[], float] = time.monotonic
) -> Flow[Answer]:
    """Make a call, again and again where that is safe and may help.

    Raises:
        LongstreamError: the last failure. `problem["attempts"]` says how many requests were made.
    """
    give_up_at = None
    failures = 0
    while True:
        outcome = yield Send(call)
        if isinstance(outcome, httpx.Response) and outcome.is_success:
            return Answer(outcome, failures + 1)
        failures += 1
        failure = _failure(outcome, failures)
        if not (call.repeatable and _worth_repeating(outcome)):
            raise failure
        now = clock()
        give_up_at = now + retry.retry_for_s if give_up_at is None else give_up_at
        backoff_s = retry.wait_s(failures, random.random())  # noqa: S311 - jitter is no secret
        wait = _next_wait(outcome, backoff_s, give_up_at - now)
        if wait is None:
            raise failure
        if retry.notify is not None:
            retry.notify(failure, wait)
        yield Pause(wait)


def encoded_json(value: Any) -> bytes:
    """Encode a body.

    Raises:
        Invalid: JSON has no way to say it: a lone surrogate, NaN, a set, a cycle.
    """
    try:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        return text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise invalid(f"JSON cannot carry the request: {error}") from error


def parsed(answer: Answer, reader: Callable[[dict[str, Any]], T]) -> T:
    """Read a JSON answer.

    Raises:
        ProtocolError: the body is not what the contract says.
    """
    response = answer.response
    try:
        return reader(response.json())
    except (
        KeyError,
        TypeError,
        ValueError,
        AttributeError,
        OverflowError,
        RecursionError,
    ) as error:
        raise ProtocolError(
            response.status_code,
            "unexpected_answer",
            f"cannot read the answer of {response.request.url.path}: {error!r}",
            request_id=response.headers.get("X-Request-Id"),
        ) from error


def _failure(outcome: Outcome, attempts: int) -> LongstreamError:
    if isinstance(outcome, httpx.Response):
        failure = error_of_response(outcome)
    elif isinstance(outcome, httpx.RequestError):
        failure = error_of_transport(outcome)
    else:
        raise TypeError(f"a Send has a response or an error as its outcome, not {outcome!r}")
    failure.problem["attempts"] = attempts
    return failure


def _worth_repeating(outcome: Outcome) -> bool:
    if not isinstance(outcome, httpx.Response):
        # A URL of a scheme nobody speaks stays one; everything else below HTTP can pass.
        return isinstance(outcome, httpx.TransportError) and not isinstance(
            outcome, httpx.UnsupportedProtocol
        )
    advice = outcome.headers.get("x-should-retry")
    if advice in {"true", "false"}:
        return bool(advice == "true")
    return outcome.status_code in _TRY_AGAIN


def _next_wait(outcome: Outcome, backoff_s: float, left_s: float) -> float | None:
    """Return the pause before the next attempt, or None if that would begin too late."""
    asked = retry_after_s(outcome) if isinstance(outcome, httpx.Response) else None
    if left_s <= 0 or (asked is not None and asked > left_s):
        return None
    # The last pause is shortened: one more attempt at the very end beats giving up early.
    return min(max(backoff_s, asked or 0.0), left_s)
