"""Rows over all sets: means of sets that count the same, whatever their size."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from models.evaluate.bootstrap import Estimate, Figure
from models.evaluate.context.estimates import Estimator, best_free, rivals
from models.evaluate.context.report import OverallRow
from models.evaluate.context.rows import ALONE
from models.evaluate.context.scores import MAIN, Scored

INSIDE: Final = f"{MAIN} in document"
BEST_FREE: Final = "best free row of each set"


@dataclass(frozen=True)
class Compared:
    """The rows of one set.

    Attributes:
        name: Of the set.
        rows: All of them.
        estimator: Of its reported queries.
    """

    name: str
    rows: Sequence[Scored]
    estimator: Estimator

    def row(self, id_: str) -> Scored:
        """Return a row by its name; `BEST_FREE` is the training-free row that is best on the selection half."""
        if id_ == BEST_FREE:
            return best_free(self.rows)
        [found] = [row for row in self.rows if row.id == id_]
        return found

    def gain(self, id_: str, over: str, metric: str, stratum: str | None = None) -> Figure:
        """Return what a row gains over another, of all reported queries or of a stratum."""
        values = self.row(id_).values[metric] - self.row(over).values[metric]
        kept = self.estimator.strata[stratum] if stratum else self.estimator.kept
        return self.estimator.figure(values, kept)


def overall(sets: Sequence[Compared]) -> tuple[OverallRow, ...]:
    """Return the rows that all sets have, models that stand for seeds as their mean alone; none for a single set.

    Sets are resampled independently of each other.
    """
    if len(sets) < 2:  # noqa: PLR2004 - one set is its own mean
        return ()
    first = sets[0].rows
    averaged = {row.model.partition(",")[0] for row in first if ", mean of " in row.model}
    ids = [
        row.id
        for row in first
        if not any(row.model.startswith(f"{attention} ") for attention in averaged)
        and all(any(row.id == other.id for other in found.rows) for found in sets[1:])
    ]
    return tuple(_row(id_, sets) for id_ in [*ids, BEST_FREE])


def _row(id_: str, sets: Sequence[Compared]) -> OverallRow:
    values = {
        found.name: float(found.row(id_).values[MAIN][found.estimator.kept].mean())
        for found in sets
    }
    gains = {
        name: _mean([found.gain(id_, *asked) for found in sets])
        for name, asked in _questions(id_, sets).items()
    }
    return OverallRow(id_, values, float(np.mean([*values.values()])), gains)


def _questions(id_: str, sets: Sequence[Compared]) -> dict[str, tuple[str, str, str | None]]:
    """Return what a row's gains are asked for: over which row, in which metric, in which stratum."""
    asked: dict[str, tuple[str, str, str | None]] = {}
    if id_ != ALONE:
        asked[ALONE] = (ALONE, MAIN, None)
        asked[f"{ALONE}, in document"] = (ALONE, INSIDE, None)
        for stratum in ("named", "unnamed"):
            if all(found.estimator.strata[stratum].any() for found in sets):
                asked[f"{ALONE}, {stratum}"] = (ALONE, MAIN, stratum)
    if id_ != BEST_FREE:
        asked[BEST_FREE] = (BEST_FREE, MAIN, None)
        own = sets[0].row(id_)
        asked.update({row.control: (row.id, MAIN, None) for row in rivals(own, sets[0].rows)})
    return asked


def _mean(figures: Sequence[Figure]) -> Estimate:
    varied = all(figure.replicates.size for figure in figures)
    replicates = (
        np.mean([figure.replicates for figure in figures], axis=0) if varied else np.empty(0)
    )
    return Figure(float(np.mean([figure.value for figure in figures])), replicates).estimate()
