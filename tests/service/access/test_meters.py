import asyncio
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from service.access import Caller, Meters
from service.access.buckets import TokenBucket
from service.access.meters import LOOK_SECONDS, Meter
from service.config_access import RateLimits
from service.errors import RateLimited, Unavailable
from tests.service.access.clock import Clock


@settings(deadline=None)
@given(
    st.floats(1, 100),
    st.floats(0.1, 100),
    st.lists(st.tuples(st.floats(0, 10), st.floats(0.1, 20)), min_size=1, max_size=50),
)
def test_a_bucket_gives_no_more_than_it_held_and_what_flowed_in(
    capacity: float, rate: float, asked: list[tuple[float, float]]
):
    clock = Clock()
    bucket = TokenBucket(capacity, rate, clock)
    given_out = 0.0
    for pause, amount in asked:
        clock.seconds += pause
        if bucket.wait_s(amount) == 0.0:
            bucket.take(amount)
            given_out += amount
        assert given_out <= capacity + clock.seconds * rate + 1e-6
        assert bucket.level() <= capacity


def test_the_wait_is_the_time_until_it_is_there():
    clock = Clock()
    bucket = TokenBucket(10, 2, clock)
    bucket.take(16)
    assert bucket.level() == -6
    assert bucket.wait_s(1) == 3.5
    clock.seconds = 3.5
    assert bucket.wait_s(1) == 0
    clock.seconds = 1000
    assert bucket.level() == 10


def test_requests_per_second():
    clock = Clock()
    meter = Meter(RateLimits(requests_per_second=2), clock)
    for second in range(3):
        clock.seconds = second
        meter.request()
        meter.request()
        with pytest.raises(RateLimited) as caught:
            meter.request()
        assert caught.value.extras == {"limit": "requests_per_second", "retry_after_s": 1}


def test_less_than_one_request_a_second():
    clock = Clock()
    meter = Meter(RateLimits(requests_per_second=0.1), clock)
    meter.request()
    with pytest.raises(RateLimited) as caught:
        meter.request()
    assert caught.value.extras["retry_after_s"] == 10
    clock.seconds = 10
    meter.request()


async def test_tokens_may_be_overdrawn_once_and_are_waited_for():
    clock = Clock()
    meter = Meter(RateLimits(tokens_per_minute=60), clock)
    meter.require_tokens()
    meter.charge(90)
    with pytest.raises(RateLimited) as caught:
        meter.require_tokens()
    assert caught.value.extras == {"limit": "tokens_per_minute", "retry_after_s": 31}
    clock.seconds = 31
    meter.require_tokens()


async def test_a_stream_waits_for_its_tokens_and_looks_about_meanwhile(monkeypatch):
    clock = Clock()
    meter = Meter(RateLimits(tokens_per_minute=60), clock)
    meter.charge(62)
    slept: list[float] = []
    looked: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        clock.seconds += seconds

    monkeypatch.setattr(asyncio, "sleep", sleep)
    await meter.pace(lambda: looked.append(clock.seconds))
    assert slept == [LOOK_SECONDS, LOOK_SECONDS, LOOK_SECONDS]
    assert looked == [0.0, 1.0, 2.0, 3.0]
    meter.charge(1000)

    def stop() -> None:
        if clock.seconds > 5:
            raise Unavailable("draining", "stopping")

    with pytest.raises(Unavailable):
        await meter.pace(stop)
    assert clock.seconds == 6.0


def test_sessions_are_counted_by_who_knows_them():
    meter = Meter(RateLimits(open_sessions=2), Clock())
    meter.require_session(1)
    with pytest.raises(RateLimited, match="delete one"):
        meter.require_session(2)


async def test_without_limits_nothing_is_counted():
    meter = Meter(RateLimits(), Clock())
    for _ in range(1000):
        meter.request()
        meter.charge(1_000_000)
        meter.require_tokens()
        await meter.pace(lambda: None)
        meter.require_session(1_000_000)
    assert meter.headers() == {}


def test_headers_say_what_is_left():
    clock = Clock()
    meter = Meter(RateLimits(requests_per_second=2, tokens_per_minute=600), clock)
    meter.request()
    meter.charge(100)
    assert meter.headers() == {
        "ratelimit-policy": '"requests";q=2;w=1, "tokens";q=600;w=60',
        "ratelimit": '"requests";r=1;t=1, "tokens";r=500;t=10',
    }
    meter.charge(1000)
    assert '"tokens";r=0;t=110' in meter.headers()["ratelimit"]


def test_each_key_has_a_meter_of_its_own_and_changed_limits_begin_anew():
    meters = Meters(Clock())
    limits = RateLimits(requests_per_second=1)
    one, other = Caller("t", "a", "api", limits), Caller("t", "b", "api", limits)
    assert meters.of(one) is meters.of(Caller("t", "a", "api", limits))
    assert meters.of(one) is not meters.of(other)
    changed = Caller("t", "a", "api", RateLimits(requests_per_second=2))
    assert meters.of(changed).limits.requests_per_second == 2
    assert meters.tenant_lock("t") is meters.tenant_lock("t")
    assert meters.tenant_lock("t") is not meters.tenant_lock("u")


@pytest.mark.parametrize(
    "limit",
    [
        {"requests_per_second": math.inf},
        {"requests_per_second": math.nan},
        {"requests_per_second": 1e-320},
        {"tokens_per_minute": 10**400},
    ],
)
def test_limits_that_cannot_be_counted_are_refused(limit):
    with pytest.raises(ValidationError):
        RateLimits(**limit)


@pytest.mark.parametrize("rate", [1e-3, 1e6])
def test_the_smallest_and_the_largest_rate_can_be_counted(rate):
    meter = Meter(RateLimits(requests_per_second=rate, tokens_per_minute=10**12), Clock())
    meter.request()
    assert meter.headers()
