"""The policy: what is refused at once, and when to come again. Pure data, no clock."""

import math
from collections.abc import Sequence
from typing import Final

from service.errors import Unavailable

_LEARNING: Final = 0.2
_STEPS_AT_LEAST: Final = 4
"""Steps that a round may always have: a few clients are served however slow a machine is."""
_LONGEST_RETRY_S: Final = 30


class Admission:
    """Two bounds, because the queue is fair: jobs take turns, so a long one does not make the others wait long.

    All that waits is bounded for the memory's sake, and short work is let in all the same: it rides in the next steps
    however much a bulk upload has waiting. One round, an item of every waiting job, is how long it waits at most;
    that is bounded for everybody.

    Args:
        step_tokens: Most tokens of a step; a job of no more is short.
        queue_tokens: Most tokens waiting.
        round_s: Most seconds of one round, by the speed of the last steps.
    """

    def __init__(self, step_tokens: int, queue_tokens: int, round_s: float) -> None:
        self._step_tokens = step_tokens
        self._queue_tokens = queue_tokens
        self._round_s = round_s
        self._seconds_per_token = 0.0

    def ran(self, tokens: int, seconds: float) -> None:
        """Learn from a step how fast steps are."""
        now = seconds / tokens
        before = self._seconds_per_token or now
        self._seconds_per_token = before + _LEARNING * (now - before)

    def admit(self, costs: Sequence[int], waiting: int, one_round: int) -> None:
        """Let a job in.

        Args:
            costs: Tokens of each of its items.
            waiting: Tokens that wait.
            one_round: Tokens of the next item of each job that waits.

        Raises:
            Unavailable: `overloaded`, with the seconds until what is too much will have run.
        """
        if not waiting:
            return  # whatever it is, nobody waits for it
        over = one_round + max(costs, default=0) - self._round_tokens
        total = sum(costs)
        if total > self._step_tokens:
            over = max(over, waiting + total - self._queue_tokens)
        if over > 0:
            seconds = math.ceil(over * self._seconds_per_token)
            raise Unavailable(
                "overloaded",
                "Too many tokens are waiting for this model; try again shortly.",
                extras={"retry_after_s": min(max(seconds, 1), _LONGEST_RETRY_S)},
            )

    @property
    def _round_tokens(self) -> int:
        """Tokens that run in the seconds of a round."""
        least = _STEPS_AT_LEAST * self._step_tokens
        if not self._seconds_per_token:
            return least
        return max(least, int(self._round_s / self._seconds_per_token))
