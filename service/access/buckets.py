"""The token bucket: so much at once, so much per second from then on."""

from collections.abc import Callable


class TokenBucket:
    """A bucket that fills by itself and may be overdrawn by those who learn too late what they took.

    Args:
        capacity: What it holds, and begins with.
        per_second: What flows in.
        clock: Seconds; never goes back.
    """

    def __init__(self, capacity: float, per_second: float, clock: Callable[[], float]) -> None:
        self._capacity = capacity
        self._per_second = per_second
        self._clock = clock
        self._level = capacity
        self._at = clock()

    def level(self) -> float:
        """Return what is in it now; below zero if it is overdrawn."""
        now = self._clock()
        self._level = min(self._capacity, self._level + (now - self._at) * self._per_second)
        self._at = now
        return self._level

    def take(self, amount: float) -> None:
        """Take out an amount, whether it is there or not."""
        self._level = self.level() - amount

    def wait_s(self, amount: float) -> float:
        """Return the seconds until that amount is there; 0 if it is."""
        return max(0.0, (amount - self.level()) / self._per_second)
