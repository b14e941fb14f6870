"""Confidence intervals by resampling (Efron and Tibshirani 1993, chapters 8 and 13), and paired differences.

What is resampled are *units* that do not depend on each other: sentence pairs, or whole documents with all their
queries. A resample is a row of weights, how often each unit was drawn. Its stream depends on the seed and on the name
of the data alone, so all variants meet the same resamples, and a difference of two is one of pairs.
"""

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

RESAMPLES: Final = 2000
CONFIDENCE: Final = 0.95
_BLOCK: Final = 250  # resamples at a time: bounds what is held

Statistic = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""From weights, *shape* (resamples, units), to a figure for each resample."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its interval.

    Attributes:
        value: On the data as they are.
        low: Lower end of the 95 % interval; None where a single unit says nothing of chance.
        high: Upper end.
    """

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Figure:
    """A figure and what it was on each resample.

    Attributes:
        value: On the data as they are.
        replicates: On each resample; *shape* (resamples,), empty with fewer than two units.
    """

    value: float
    replicates: NDArray[np.float64]

    def estimate(self) -> Estimate:
        """Return the figure with its percentile interval."""
        if not self.replicates.size:
            return Estimate(self.value, None, None)
        tail = (1 - CONFIDENCE) / 2
        low, high = np.quantile(self.replicates, [tail, 1 - tail]).tolist()
        return Estimate(self.value, low, high)

    def minus(self, other: "Figure") -> "Figure":
        """Return the gain over another figure of the same data, resample by resample."""
        return Figure(self.value - other.value, self.replicates - other.replicates)


@dataclass(frozen=True, slots=True)
class Resampling:
    """Which resamples are drawn.

    Attributes:
        seed: Of the run.
        resamples: How many; at least 1.
    """

    seed: int = 0
    resamples: int = RESAMPLES

    def figure(self, data: str, units: int, statistic: Statistic) -> Figure:
        """Compute a figure on the data and on each resample.

        Args:
            data: Name of the data; figures on the same data are paired.
            units: How many there are; at least 1.
            statistic: The figure as a function of the units' weights.
        """
        value = float(statistic(np.ones((1, units)))[0])
        if units < 2:  # noqa: PLR2004 - one unit cannot vary
            return Figure(value, np.empty(0))
        return Figure(value, np.concatenate([*map(statistic, self._weights(data, units))]))

    def _weights(self, data: str, units: int) -> Iterator[NDArray[np.float64]]:
        generator = np.random.default_rng([self.seed, zlib.crc32(data.encode())])
        even = np.full(units, 1 / units)
        for start in range(0, self.resamples, _BLOCK):
            count = min(_BLOCK, self.resamples - start)
            yield generator.multinomial(units, even, count).astype(np.float64)


def cluster_mean(values: NDArray[np.float64], clusters: NDArray[np.int64]) -> tuple[int, Statistic]:
    """Return the mean over all values as a statistic of their clusters: all of a cluster are drawn together.

    Args:
        values: *shape* (values,), at least one.
        clusters: Label of each value's cluster; *shape* (values,).

    Returns:
        How many clusters there are, and the statistic.
    """
    _, index = np.unique(clusters, return_inverse=True)
    sums, counts = np.bincount(index, values), np.bincount(index).astype(np.float64)
    return len(counts), lambda weights: (weights @ sums) / (weights @ counts)
