"""The policy: which segments form the next step. Pure data, no clock, no tasks, no tensors."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

ItemT = TypeVar("ItemT")


@dataclass(eq=False)
class Job(Generic[ItemT]):
    """Independent items of one request, each with its cost in tokens."""

    items: deque[tuple[ItemT, int]] = field(default_factory=deque)


class FairQueue(Generic[ItemT]):
    """Jobs take turns: a step takes one item of each waiting job, and goes round until the budget is spent.

    A short query therefore rides in the next step however many segments a bulk upload before it has waiting.
    """

    def __init__(self) -> None:
        self._jobs: deque[Job[ItemT]] = deque()
        self.tokens = 0
        """Tokens of all waiting items."""
        self.round_tokens = 0
        """Tokens of the next item of each job: what can run before an item that comes now."""

    def __bool__(self) -> bool:
        return bool(self._jobs)

    def add(self, items: Sequence[tuple[ItemT, int]]) -> Job[ItemT]:
        """Queue a job: its items and their costs in tokens."""
        job = Job(deque(items))
        self.tokens += sum(cost for _, cost in items)
        if items:
            self.round_tokens += items[0][1]
            self._jobs.append(job)
        return job

    def cancel(self, job: Job[ItemT]) -> None:
        """Forget what still waits of a job; what a step has taken is not affected."""
        self.tokens -= sum(cost for _, cost in job.items)
        self.round_tokens -= _next_cost(job)
        job.items.clear()
        if job in self._jobs:
            self._jobs.remove(job)

    def take(self, budget: int) -> list[ItemT]:
        """Take the next step's items: at least one if any waits, and no more tokens than `budget` beyond the first."""
        step: list[ItemT] = []
        while self._jobs:
            job = self._jobs[0]
            item, cost = job.items[0]
            if step and cost > budget:
                break
            budget -= cost
            self.tokens -= cost
            job.items.popleft()
            self.round_tokens += _next_cost(job) - cost
            step.append(item)
            self._jobs.rotate(-1)
            if not job.items:
                self._jobs.remove(job)
        return step


def _next_cost(job: Job[ItemT]) -> int:
    return job.items[0][1] if job.items else 0
