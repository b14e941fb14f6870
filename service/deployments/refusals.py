"""What a gateway remembers of a model that has just refused work, for asking costs more than refusing."""

import time
from collections.abc import Callable

from service.errors import RoundFull


class Refusals:
    """The last refusal of a model whose next round was full: it holds for whatever needs a forward pass.

    Other refusals are of one request's kind or size, and say nothing of other requests.

    Args:
        hold_s: Seconds that a refusal holds; 0 to remember none.
        clock: Seconds; never goes back.
    """

    def __init__(self, hold_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._hold_s, self._clock = hold_s, clock
        self._until = clock()
        self._last: RoundFull | None = None

    def remember(self, error: RoundFull) -> None:
        """Remember a refusal, but not how far its request had come."""
        extras = {key: value for key, value in error.extras.items() if key == "retry_after_s"}
        self._last = RoundFull(error.code, error.detail, extras=extras)
        self._until = self._clock() + self._hold_s

    def standing(self) -> RoundFull | None:
        """Return the last refusal for as long as it holds, as an error of its own; else None."""
        if self._last is None or self._clock() >= self._until:
            return None
        return RoundFull(*self._last.args)
