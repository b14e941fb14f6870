"""When nothing is asked, and when one call may try: a function of outcomes and of a clock that the test moves."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.sessions.stores.breaker import CircuitBreaker, Refused


def opened(breaker: CircuitBreaker, at: float = 0.0) -> CircuitBreaker:
    for _ in range(3):
        assert breaker.ask(at) is None
        breaker.failed(at)
    return breaker


@pytest.fixture
def breaker():
    return CircuitBreaker(failures=3, open_seconds=2.0)


def test_it_opens_after_failures_in_a_row_and_only_then(breaker):
    for _ in range(5):
        breaker.failed(0.0)
        breaker.failed(0.0)
        breaker.succeeded()
    assert breaker.state(0.0) == "closed"
    opened(breaker)
    assert breaker.state(0.0) == "open"


@pytest.mark.parametrize(("now", "seconds"), [(0.0, 2), (0.5, 2), (1.0, 1), (1.999, 1)])
def test_while_it_is_open_it_says_when_to_come_again(breaker, now, seconds):
    assert opened(breaker).ask(now) == Refused(seconds)


def test_then_one_call_may_try_and_the_others_wait(breaker):
    opened(breaker)
    assert breaker.ask(2.0) is None
    assert breaker.ask(2.0) == Refused(1)
    breaker.succeeded()
    assert breaker.state(2.0) == "closed"
    assert breaker.ask(2.0) is None


def test_a_trial_that_fails_opens_it_again(breaker):
    opened(breaker)
    assert breaker.ask(2.5) is None
    breaker.failed(3.0)
    assert breaker.ask(4.9) == Refused(1)
    assert breaker.ask(5.0) is None


def test_a_trial_whose_caller_left_is_open_to_the_next(breaker):
    opened(breaker)
    assert breaker.ask(2.0) is None
    breaker.abandoned()
    assert breaker.ask(2.0) is None


def test_calls_that_were_under_way_when_it_opened_prolong_nothing(breaker):
    opened(breaker, at=0.0)
    breaker.failed(1.9)
    assert breaker.ask(2.0) is None


@settings(deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.floats(0, 3)), max_size=40))
def test_it_never_refuses_for_longer_than_it_is_open(events):
    """Whatever happened, a call is allowed at the latest `open_seconds` after the last failure."""
    breaker, now = CircuitBreaker(failures=2, open_seconds=2.0), 0.0
    for works, later in events:
        now += later
        refused = breaker.ask(now)
        if refused is not None:
            assert 1 <= refused.retry_after_s <= 2
        elif works:
            breaker.succeeded()
            assert breaker.state(now) == "closed"
        else:
            breaker.failed(now)
    assert breaker.ask(now + 2.0) is None
