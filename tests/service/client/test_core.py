from collections.abc import Callable

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.client.core import Answer, Call, Flow, Pause, RetryPolicy, Send, exchange, parsed
from service.client.errors import (
    Conflict,
    Invalid,
    LongstreamError,
    ProtocolError,
    ServerError,
    TransportError,
    Unavailable,
)

GET = Call("GET", "/x")
ONCE = Call("POST", "/x", repeatable=False)
REFUSED = httpx.ConnectError("refused")


class Clock:
    """Time that passes only in pauses."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def play(
    outcomes: Callable[[float], httpx.Response | httpx.RequestError],
    call: Call = GET,
    retry: RetryPolicy | None = None,
) -> tuple[Answer | LongstreamError, list[float]]:
    """Drive an exchange against outcomes that depend on the time gone by; return its end and its pauses."""
    clock = Clock()
    flow: Flow[Answer] = exchange(call, retry or RetryPolicy(), clock)
    pauses: list[float] = []
    outcome = None
    try:
        while True:
            action = flow.send(outcome)
            if isinstance(action, Pause):
                pauses.append(action.seconds)
                clock.now += action.seconds
                outcome = None
            else:
                assert action == Send(call)
                outcome = outcomes(clock.now - 100.0)
    except StopIteration as stop:
        return stop.value, pauses
    except LongstreamError as error:
        return error, pauses


def in_turn(*items: httpx.Response | httpx.RequestError):
    rest = iter(items)
    return lambda _elapsed: next(rest)


@pytest.mark.parametrize("down_for_s", [1, 20, 45, 59.9])
def test_a_call_outlives_a_restart_of_the_service(down_for_s):
    end, pauses = play(lambda t: REFUSED if t < down_for_s else httpx.Response(200))
    assert isinstance(end, Answer)
    assert end.attempts == len(pauses) + 1
    assert sum(pauses) >= down_for_s
    assert max(pauses) <= RetryPolicy().longest_wait_s


@given(st.floats(min_value=0.5, max_value=500))
def test_a_service_that_never_comes_back_is_given_up_in_time(retry_for_s):
    end, pauses = play(lambda _t: REFUSED, retry=RetryPolicy(retry_for_s=retry_for_s))
    assert isinstance(end, TransportError)
    assert end.code == "connection_failed"
    assert end.problem["attempts"] == len(pauses) + 1
    assert sum(pauses) == pytest.approx(retry_for_s)


def test_pauses_double_with_jitter_up_to_a_ceiling():
    _, pauses = play(lambda _t: REFUSED)
    for n, pause in enumerate(pauses[:-1]):
        full = min(0.1 * 2**n, 5.0)
        assert full / 2 <= pause <= full


@pytest.mark.parametrize("status", [408, 429, 502, 503, 504])
def test_a_busy_service_is_asked_again(status):
    end, pauses = play(in_turn(httpx.Response(status), httpx.Response(200)))
    assert isinstance(end, Answer)
    assert len(pauses) == 1


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, Invalid), (409, Conflict), (500, ServerError), (507, ServerError), (302, ProtocolError)],
)
def test_what_cannot_get_better_is_not_repeated(status, kind):
    end, pauses = play(in_turn(httpx.Response(status)))
    assert type(end) is kind
    assert pauses == []


@pytest.mark.parametrize("outcome", [REFUSED, httpx.ReadTimeout("slow"), httpx.Response(503)])
def test_a_call_that_must_not_be_repeated_is_not(outcome):
    end, pauses = play(in_turn(outcome), call=ONCE)
    assert isinstance(end, TransportError | Unavailable)
    assert pauses == []


def test_an_unsupported_scheme_fails_at_once():
    end, pauses = play(in_turn(httpx.UnsupportedProtocol("gopher")))
    assert isinstance(end, TransportError)
    assert pauses == []


def test_retry_after_is_honoured_beyond_the_ceiling():
    busy = httpx.Response(503, headers={"Retry-After": "17"})
    end, pauses = play(in_turn(busy, httpx.Response(200)))
    assert isinstance(end, Answer)
    assert pauses == [17.0]


def test_a_retry_after_beyond_the_end_gives_up_at_once():
    end, pauses = play(in_turn(httpx.Response(429, headers={"Retry-After": "3600"})))
    assert isinstance(end, Unavailable)
    assert pauses == []


def test_the_service_decides_by_x_should_retry():
    no = httpx.Response(503, headers={"x-should-retry": "false"})
    yes = httpx.Response(409, headers={"x-should-retry": "true"})
    assert isinstance(play(in_turn(no))[0], Unavailable)
    assert isinstance(play(in_turn(yes, httpx.Response(200)))[0], Answer)


def test_no_time_means_one_attempt():
    end, pauses = play(in_turn(REFUSED), retry=RetryPolicy(retry_for_s=0))
    assert isinstance(end, TransportError)
    assert pauses == []


def test_the_clock_starts_at_the_first_failure_not_at_the_first_attempt():
    clock = Clock()
    flow = exchange(GET, RetryPolicy(retry_for_s=10), clock)
    flow.send(None)
    clock.now += 60.0  # an attempt that took a minute to time out
    assert isinstance(flow.send(httpx.ReadTimeout("slow")), Pause)


def test_each_pause_is_announced():
    heard: list[tuple[str, float]] = []
    retry = RetryPolicy(notify=lambda error, wait: heard.append((error.code, wait)))
    _, pauses = play(in_turn(REFUSED, httpx.Response(503), httpx.Response(200)), retry=retry)
    assert heard == list(zip(["connection_failed", "http_503"], pauses, strict=True))


def test_a_body_out_of_contract_is_a_protocol_error():
    request = httpx.Request("GET", "http://x/v1/models")
    for response in (httpx.Response(200, text="<html>"), httpx.Response(200, json=[1])):
        response.request = request
        with pytest.raises(ProtocolError, match="/v1/models"):
            parsed(Answer(response, 1), lambda body: body["data"])
