"""When to stop asking something that does not answer, and when to ask again; a clock's time in, a decision out."""

import math
from dataclasses import dataclass
from typing import Final, Literal

FAILURES: Final = 5
"""Failures in a row after which nothing is asked for a while."""
OPEN_SECONDS: Final = 2.0
"""How long nothing is asked; then one call may try."""

CircuitState = Literal["closed", "open", "half_open"]


@dataclass(frozen=True, slots=True)
class Refused:
    """The call may not be made; in `retry_after_s` whole seconds another may have better luck."""

    retry_after_s: int


class CircuitBreaker:
    """Opens after failures in a row, lets one call try after a while, and closes when that succeeds.

    Args:
        failures: Failures in a row that open it.
        open_seconds: How long it stays open.
    """

    def __init__(self, failures: int = FAILURES, open_seconds: float = OPEN_SECONDS) -> None:
        self._most = failures
        self._open_seconds = open_seconds
        self._failures = 0
        self._closed_again_at = 0.0
        self._trying = False

    def state(self, now: float) -> CircuitState:
        """Return what the breaker is at a time of a monotonic clock, seconds."""
        if self._failures < self._most:
            return "closed"
        return "open" if now < self._closed_again_at else "half_open"

    def ask(self, now: float) -> Refused | None:
        """Ask to make a call; None allows it, and then its outcome must be told."""
        state = self.state(now)
        if state == "closed":
            return None
        if state == "half_open" and not self._trying:
            self._trying = True
            return None
        # Without the rounding errors of the clock, which would ask for a second too much.
        return Refused(max(1, math.ceil(round(self._closed_again_at - now, 3))))

    def succeeded(self) -> None:
        """Tell that a call was answered."""
        self._failures = 0
        self._trying = False

    def failed(self, now: float, *, silent: bool = False) -> None:
        """Tell that a call was not answered; one that was under way when it opened prolongs nothing.

        Args:
            now: Monotonic time, seconds.
            silent: Nothing was heard in all the time that there was. That opens it at once: whoever waited for the same
                session meanwhile would wait as long again.
        """
        late = self.state(now) == "open"
        self._failures = max(self._failures + 1, self._most if silent else 0)
        self._trying = False
        if self._failures >= self._most and not late:
            self._closed_again_at = now + self._open_seconds

    def abandoned(self) -> None:
        """Tell that nobody waited for a call: it says nothing of what was asked."""
        self._trying = False
