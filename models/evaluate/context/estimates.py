"""From rows to figures, gains and strata, with intervals by document."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from models.evaluate.bootstrap import Estimate, Figure, Resampling, cluster_mean
from models.evaluate.context.halves import Half, queries_of
from models.evaluate.context.report import ByMetric, ContextRow
from models.evaluate.context.rows import ALONE, CONTROLS, OWN, SECOND_LOOK
from models.evaluate.context.scores import LINK, PASSKEY, Scored, Values
from models.evaluate.context.strata import names_topic
from models.evaluate.data import RetrievalSet
from models.evaluate.metrics import RETRIEVAL_METRICS

Kept = NDArray[np.bool_]
"""Queries that count; *shape* (queries,)."""


class Estimator:
    """Estimates on the reported queries of one set; units of resampling are documents with all their queries.

    Args:
        data: The set.
        half: What is reported.
        resampling: Seed and number of resamples.
    """

    def __init__(self, data: RetrievalSet, half: Half, resampling: Resampling) -> None:
        self._data, self._resampling = data, resampling
        self.kept = queries_of(data, half)
        named = names_topic(data)
        self.strata = {"named": self.kept & named, "unnamed": self.kept & ~named}
        self._families = np.array([query.family or "" for query in data.queries])
        self._distances = np.array([query.distance or 0 for query in data.queries])

    def counts(self) -> dict[str, int]:
        """Count what is reported."""
        return {
            "documents": len(set(self._data.query_documents[self.kept].tolist())),
            "queries": int(self.kept.sum()),
            **{f"queries {name}": int(kept.sum()) for name, kept in self.strata.items()},
        }

    def mean(self, values: NDArray[np.float64], kept: Kept) -> Estimate:
        """Estimate the mean of some queries, at least one."""
        return self.figure(values, kept).estimate()

    def figure(self, values: NDArray[np.float64], kept: Kept) -> Figure:
        """Return the mean of some queries, at least one, and what it is on each resample.

        Differences of two rows query by query are paired: whatever is drawn, it is drawn for both.
        """
        documents = self._data.query_documents[kept]
        statistic = cluster_mean(values[kept], documents)
        return self._resampling.figure(self._data.name, *statistic)

    def figures(self, values: Values, kept: Kept) -> ByMetric:
        """Estimate each metric."""
        return {metric: self.mean(values[metric], kept) for metric in RETRIEVAL_METRICS}

    def gain(self, values: Values, over: Values, kept: Kept) -> ByMetric:
        """Estimate what a row's values gain over another's, metric by metric."""
        pairs = {metric: values[metric] - over[metric] for metric in RETRIEVAL_METRICS}
        return self.figures(pairs, kept)

    def link(self, values: Values) -> dict[int, Estimate]:
        """Estimate link accuracy by distance."""
        asked = self.kept & (self._families == LINK)
        distances = sorted({int(distance) for distance in self._distances[asked]})
        return {d: self.mean(values[LINK], asked & (self._distances == d)) for d in distances}

    def passkey(self, values: Values) -> Estimate | None:
        """Estimate R@1 in the document of passkey queries."""
        asked = self.kept & (self._families == PASSKEY)
        return self.mean(values["r@1 in document"], asked) if asked.any() else None


def best_free(rows: Iterable[Scored]) -> Scored:
    """Return the training-free row that is best on the selection half; of equal ones the first."""
    return max((row for row in rows if row.kind == "training-free"), key=lambda row: row.selection)


def report_rows(rows: Sequence[Scored], estimator: Estimator) -> tuple[ContextRow, ...]:
    """Estimate everything about the rows of a set."""
    [alone] = [row for row in rows if row.id == ALONE]
    free = best_free(rows)
    return tuple(
        ContextRow(
            id=row.id,
            kind=row.kind,
            model=row.model,
            settings=row.settings,
            figures=estimator.figures(row.values, estimator.kept),
            gains={
                over.id: estimator.gain(row.values, over.values, estimator.kept)
                for over in (alone, free, *rivals(row, rows))
                if over is not row
            },
            strata={
                name: estimator.gain(row.values, alone.values, kept)
                for name, kept in estimator.strata.items()
                if kept.any() and row is not alone
            },
            link=estimator.link(row.values),
            passkey=estimator.passkey(row.values),
        )
        for row in rows
    )


def rivals(row: Scored, rows: Sequence[Scored]) -> list[Scored]:
    """Return what a memory's row is compared with: its own controls; none for other rows."""
    return [
        other
        for other in rows
        if row.control in (OWN, SECOND_LOOK)
        and other.model == row.model
        and other.control in CONTROLS
    ]
