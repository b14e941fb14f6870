"""Alternating rounds, and ratios between the figures of one round."""

import statistics
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from loadtests.bench.errors import BenchError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Spread:
    """A figure over the rounds.

    Attributes:
        median: Of the rounds.
        low: Least of them.
        high: Most of them.
        rounds: How many there were.
    """

    median: float
    low: float
    high: float
    rounds: int

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Summarise the rounds.

        Raises:
            BenchError: there are none.
        """
        if not values:
            raise BenchError("no round was completed")
        return cls(statistics.median(values), min(values), max(values), len(values))


@dataclass(frozen=True, slots=True)
class Verdict:
    """A ratio and what it should be.

    Attributes:
        what: The ratio in words.
        value: Medians and spread of the rounds' ratios.
        bound: What it is compared with; None where nothing was promised.
        at_least: True if it should be at least the bound, False if at most.
    """

    what: str
    value: Spread
    bound: float | None = None
    at_least: bool = True

    @property
    def met(self) -> bool | None:
        """Whether the median keeps the bound; None without one."""
        if self.bound is None:
            return None
        return self.value.median >= self.bound if self.at_least else self.value.median <= self.bound


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> Spread:
    """Return our figure over theirs, round by round: what disturbs a round disturbs both sides of its ratio.

    Raises:
        BenchError: the rounds do not match, or a figure of theirs is zero.
    """
    if len(ours) != len(theirs) or any(value <= 0 for value in theirs):
        raise BenchError(f"no ratio of {list(ours)} and {list(theirs)}")
    return Spread.of([one / other for one, other in zip(ours, theirs, strict=True)])


async def alternate(
    sides: Mapping[str, Callable[[], Awaitable[T]]],
    rounds: int,
    lost: dict[str, str] | None = None,
) -> dict[str, list[T]]:
    """Measure every side once a round, a different one first each time.

    Args:
        sides: What to measure, by name; the first is the one that the others are compared with.
        rounds: How often.
        lost: Takes up the sides that fail, with the reason; they are left out from then on. None lets them raise.

    Returns:
        The measurements of each side that was measured in every round, in the order of the rounds.

    Raises:
        BenchError: the first side failed, or any did and `lost` is None.
    """
    names = list(sides)
    found: dict[str, list[T]] = {name: [] for name in names}
    for number in range(rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            if name not in found:
                continue
            try:
                found[name].append(await sides[name]())
            except BenchError as error:
                if lost is None or name == names[0]:
                    raise
                lost[name] = str(error)
                del found[name]
    return found
