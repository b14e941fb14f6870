"""The policy: what is refused at once, and when to come again. Pure data, no clock."""

import math
from collections.abc import Sequence
from typing import Final, TypeVar

from service.errors import RoundFull, Unavailable

Refusal = TypeVar("Refusal", bound=Unavailable)
_FORGOTTEN: Final = 0.2
"""Share of what was learned that each step replaces."""
_STEPS_AT_LEAST: Final = 4
"""Steps that a round may always have: a few clients are served however slow a machine is."""
_QUEUES_AT_MOST: Final = 2
"""Of `queue_tokens`: a round may never have more, however fast a machine is."""
_FULL: Final = 0.95
"""Share of a round that leaves no room for the smallest of jobs, or soon will."""
_LONGEST_RETRY_S: Final = 30


class Admission:
    """Two bounds, because the queue is fair: jobs take turns, so a long one does not make the others wait long.

    What long jobs have waiting is bounded for the memory's sake, and short work is let in all the same: it rides in the
    next steps however much a bulk upload has waiting. One round, all of every short job and a turn of every long one,
    is about how long it waits; that is bounded for everybody, in seconds and in tokens.

    Args:
        step_tokens: Most tokens of a step; a job of no more is short.
        queue_tokens: Most tokens waiting when a long job comes. One of more than that comes in while less waits.
        round_s: Most seconds of one round, by the speed of the last steps.
    """

    def __init__(self, step_tokens: int, queue_tokens: int, round_s: float) -> None:
        self._step_tokens = step_tokens
        self._queue_tokens = queue_tokens
        self._round_s = round_s
        self._seconds = 0.0
        self._tokens = 0.0

    def ran(self, tokens: int, seconds: float) -> None:
        """Learn from a step how fast steps are; a token counts as much in a small step as in a large one."""
        self._seconds += seconds - _FORGOTTEN * self._seconds
        self._tokens += tokens - _FORGOTTEN * self._tokens

    def admit(self, costs: Sequence[int], waiting: int, one_round: int) -> None:
        """Let a job in.

        Args:
            costs: Tokens of each of its items.
            waiting: Tokens that wait.
            one_round: Tokens of the short jobs that wait, and of the next turn of each long one.

        Raises:
            RoundFull: `overloaded`, with the seconds until what is too much will have run; so would be any other.
            Unavailable: `overloaded`, as above, but there is room for a smaller one.
        """
        if not waiting:
            return  # whatever it is, nobody waits for it
        over = self._over(costs, waiting, one_round)
        if over <= 0:
            return
        full = self._spare(one_round) <= 0
        raise self._refusal(over, RoundFull if full else Unavailable)

    def full(self, one_round: int) -> RoundFull | None:
        """Return why nearly any job would be refused; None if there is room for a small one."""
        spare = self._spare(one_round)
        return self._refusal(1 - spare, RoundFull) if spare <= 0 else None

    def _refusal(self, over: float, error: type[Refusal]) -> Refusal:
        seconds = math.ceil(over * self._seconds / self._tokens) if self._tokens else 1
        return error(
            "overloaded",
            "Too many tokens are waiting for this model; try again shortly.",
            extras={"retry_after_s": min(max(seconds, 1), _LONGEST_RETRY_S)},
        )

    def _spare(self, one_round: int) -> float:
        """Return the tokens until a round has no room for the smallest of jobs."""
        return _FULL * self._round_tokens - one_round

    def _over(self, costs: Sequence[int], waiting: int, one_round: int) -> int:
        """Return how many tokens have to run before there is room."""
        total = sum(costs)
        room = self._round_tokens - one_round
        if total <= self._step_tokens:
            return total - room
        # A job of more than may wait would be refused for as long as anybody waits.
        counted = total if total <= self._queue_tokens else 1
        return max(max(costs) - room, waiting + counted - self._queue_tokens)

    @property
    def _round_tokens(self) -> int:
        """Tokens that run in the seconds of a round."""
        tokens = _STEPS_AT_LEAST * self._step_tokens
        if self._seconds:
            tokens = max(tokens, int(self._round_s * self._tokens / self._seconds))
        # Whatever is configured, a short job has room while nobody waits.
        return max(min(tokens, _QUEUES_AT_MOST * self._queue_tokens), self._step_tokens)
