"""What each caller has used of its limits, in this process."""

import asyncio
import math
import time
from collections.abc import Callable
from typing import Final

from service.access.buckets import TokenBucket
from service.access.caller import Caller
from service.config_access import RateLimits
from service.errors import RateLimited

MINUTE: Final = 60.0
LOOK_SECONDS: Final = 1.0
"""How long a stream that is slowed down waits before it looks whether it may go on at all."""
_LEAST_WAIT_S: Final = 0.001
_SESSIONS_RETRY_S: Final = 300


class Meter:
    """Counts what one caller uses.

    Args:
        limits: What it may use.
        clock: Seconds; never goes back.
    """

    def __init__(self, limits: RateLimits, clock: Callable[[], float]) -> None:
        self.limits = limits
        self._requests = self._tokens = None
        if (rate := limits.requests_per_second) is not None:
            self._requests = TokenBucket(max(1.0, rate), rate, clock)
        if (tokens := limits.tokens_per_minute) is not None:
            self._tokens = TokenBucket(float(tokens), tokens / MINUTE, clock)

    def request(self) -> None:
        """Count a request.

        Raises:
            RateLimited: `rate_limited`: there were too many in the last moments.
        """
        if self._requests is None:
            return
        wait_s = self._requests.wait_s(1.0)
        if wait_s > 0.0:
            raise _limited(
                f"More than {self.limits.requests_per_second:g} requests per second.",
                "requests_per_second",
                wait_s,
            )
        self._requests.take(1.0)

    def require_tokens(self) -> None:
        """Refuse more text while the tokens of the last minute are too many.

        What a text costs is known when it was encoded: whoever has anything left is served, and waits afterwards for
        as long as that has overdrawn the limit.

        Raises:
            RateLimited: `rate_limited`.
        """
        wait_s = self._tokens_wait_s()
        if wait_s > 0.0:
            raise _limited(
                f"More than {self.limits.tokens_per_minute} tokens per minute.",
                "tokens_per_minute",
                wait_s,
            )

    async def pace(self, require_going_on: Callable[[], None]) -> None:
        """Wait until there are tokens left: how a stream is slowed down instead of broken off.

        Args:
            require_going_on: Called now and then; ends the wait with what it raises.
        """
        require_going_on()
        while (wait_s := self._tokens_wait_s()) > 0.0:
            # A moment at least: what is left may be too little to move a clock.
            await asyncio.sleep(min(max(wait_s, _LEAST_WAIT_S), LOOK_SECONDS))
            require_going_on()

    def charge(self, tokens: int) -> None:
        """Count tokens that were encoded."""
        if self._tokens is not None:
            self._tokens.take(tokens)

    def require_session(self, open_sessions: int) -> None:
        """Refuse one more session.

        Raises:
            RateLimited: `rate_limited`: there are as many as there may be.
        """
        most = self.limits.open_sessions
        if most is not None and open_sessions >= most:
            raise _limited(
                f"There are {open_sessions} sessions, at most {most} may be; delete one.",
                "open_sessions",
                _SESSIONS_RETRY_S,
            )

    def headers(self) -> dict[str, str]:
        """Return `RateLimit` and `RateLimit-Policy` as draft-ietf-httpapi-ratelimit-headers-10 writes them."""
        policies: list[str] = []
        states: list[str] = []
        for name, bucket, quota, window in (
            ("requests", self._requests, self.limits.requests_per_second, 1),
            ("tokens", self._tokens, self.limits.tokens_per_minute, int(MINUTE)),
        ):
            if bucket is None or quota is None:
                continue
            most = max(1, int(quota))
            left = max(0, math.floor(bucket.level()))
            policies.append(f'"{name}";q={most};w={window}')
            states.append(f'"{name}";r={left};t={math.ceil(bucket.wait_s(most))}')
        if not policies:
            return {}
        return {"ratelimit-policy": ", ".join(policies), "ratelimit": ", ".join(states)}

    def _tokens_wait_s(self) -> float:
        return 0.0 if self._tokens is None else self._tokens.wait_s(1.0)


class Meters:
    """One meter for each caller that was seen.

    There are as many as there are keys. A key whose limits were changed begins anew.

    Args:
        clock: Seconds; never goes back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._meters: dict[tuple[str, str | None], Meter] = {}
        self._tenants: dict[str, asyncio.Lock] = {}

    def of(self, caller: Caller) -> Meter:
        """Return a caller's meter."""
        name = (caller.tenant, caller.key_id)
        meter = self._meters.get(name)
        if meter is None or meter.limits != caller.limits:
            meter = self._meters[name] = Meter(caller.limits, self._clock)
        return meter

    def tenant_lock(self, tenant: str) -> asyncio.Lock:
        """Return the lock under which a tenant's sessions are counted and one is added."""
        return self._tenants.setdefault(tenant, asyncio.Lock())


def _limited(what: str, limit: str, wait_s: float) -> RateLimited:
    seconds = max(1, math.ceil(wait_s))
    return RateLimited(
        "rate_limited",
        f"{what} Try again in {seconds} s.",
        extras={"limit": limit, "retry_after_s": seconds},
    )
