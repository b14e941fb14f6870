"""The policy: which segments form the next step. Pure data, no clock, no tasks, no tensors."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

ItemT = TypeVar("ItemT")


_TURNS_OF_A_STEP: Final = 8
"""Turns that a step has room for; a job of small items has many of them in one, or it would wait for many rounds."""


@dataclass(eq=False)
class Job(Generic[ItemT]):
    """Independent items of one request, each with its cost in tokens.

    Attributes:
        items: What waits of it.
        tokens: Cost of that.
        short: Whether it came with no more than a step.
        round_tokens: What it adds to a round.
    """

    items: deque[tuple[ItemT, int]] = field(default_factory=deque)
    tokens: int = 0
    short: bool = False
    round_tokens: int = 0


class FairQueue(Generic[ItemT]):
    """Jobs take turns: a step takes an item of each waiting job, or several small ones, until the budget is spent.

    A short query therefore rides in one of the next steps however many segments a bulk upload before it has waiting.

    Args:
        short_tokens: Most tokens of a step; a job of no more is short.
    """

    def __init__(self, short_tokens: int) -> None:
        self._short_tokens = short_tokens
        self._turn_tokens = short_tokens // _TURNS_OF_A_STEP
        self._jobs: deque[Job[ItemT]] = deque()
        self.tokens = 0
        """Tokens of all waiting items."""
        self.round_tokens = 0
        """Tokens that short jobs came with, and of the next turn of each long one: what can run before a new one."""

    def __bool__(self) -> bool:
        return bool(self._jobs)

    def tokens_up_to(self, most: int) -> int:
        """Return the tokens that wait, counting no more than `most` of each job."""
        return sum(min(job.tokens, most) for job in self._jobs)

    def add(self, items: Sequence[tuple[ItemT, int]]) -> Job[ItemT]:
        """Queue a job: its items and their costs in tokens."""
        tokens = sum(cost for _, cost in items)
        job = Job(deque(items), tokens, tokens <= self._short_tokens)
        if items:
            self.tokens += tokens
            job.round_tokens = tokens if job.short else 0
            self.round_tokens += job.round_tokens
            self._count(job)
            self._jobs.append(job)
        return job

    def cancel(self, job: Job[ItemT]) -> None:
        """Forget what still waits of a job; what a step has taken is not affected."""
        if not job.items:
            return  # all of it was taken: it waits no more, and is not searched for
        self.tokens -= job.tokens
        job.items.clear()
        job.tokens = 0
        self._count(job)
        self._jobs.remove(job)

    def take(self, budget: int) -> list[ItemT]:
        """Take the next step's items: at least one if any waits, and no more tokens than `budget` beyond the first."""
        step: list[ItemT] = []
        while self._jobs and (not step or self._jobs[0].items[0][1] <= budget):
            job = self._jobs.popleft()
            turn = self._turn(job, budget)
            spent = sum(cost for _, cost in turn)
            budget -= spent
            self.tokens -= spent
            job.tokens -= spent
            self._count(job)
            step += [item for item, _ in turn]
            if job.items and spent + job.items[0][1] <= self._turn_tokens:
                self._jobs.appendleft(
                    job
                )  # the step is full before its turn is over: it begins the next one
            elif job.items:
                self._jobs.append(job)
        return step

    def _turn(self, job: Job[ItemT], budget: int) -> list[tuple[ItemT, int]]:
        """Take an item, and more while they are within a turn and the budget."""
        turn = [job.items.popleft()]
        room = min(self._turn_tokens, budget) - turn[0][1]
        while job.items and job.items[0][1] <= room:
            turn.append(job.items.popleft())
            room -= turn[-1][1]
        return turn

    def _count(self, job: Job[ItemT]) -> None:
        """Count what a job adds to a round, after it has changed."""
        before = job.round_tokens
        if not job.items:
            job.round_tokens = 0
        elif not job.short:
            job.round_tokens = min(max(job.items[0][1], self._turn_tokens), job.tokens)
        # A short one adds all it came with until it is done: counted less, it would wait for too many that come later.
        self.round_tokens += job.round_tokens - before
