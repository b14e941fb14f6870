"""From vectors to a worth for each query, and the choice among a row's candidates."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from models.evaluate.context.halves import queries_of
from models.evaluate.context.mixing import Candidate
from models.evaluate.context.reading import Vectors
from models.evaluate.data import RetrievalSet
from models.evaluate.errors import EvaluationError
from models.evaluate.metrics import DEPTH, retrieval

MAIN: Final = f"ndcg@{DEPTH}"
"""The metric that choices are made by: nDCG@10 in the whole corpus."""
LINK: Final = "link"
PASSKEY: Final = "passkey"

Values = dict[str, NDArray[np.float64]]
"""By metric, one for each query; *shape* (queries,)."""
Kind = Literal["alone", "training-free", "title", "memory"]


@dataclass(frozen=True)
class Scored:
    """A row: how well each query finds its chunks.

    Attributes:
        id: Its name.
        kind: `alone`; `training-free`; `title`, which is told what a stream does not tell; or `memory`.
        values: Of each query.
        selection: nDCG@10 on the selection half.
        settings: What was chosen there.
        model: Id of the model with memory; "" for other rows.
        control: How that was read; "" for other rows.
    """

    id: str
    kind: Kind
    values: Values
    selection: float
    settings: Mapping[str, float] = field(default_factory=dict)
    model: str = ""
    control: str = ""


class Judge:
    """Ranks the chunks of one set.

    Args:
        data: The set.
        queries: Vectors of its queries; *shape* (queries, d).
    """

    def __init__(self, data: RetrievalSet, queries: Vectors) -> None:
        self._data, self._queries = data, queries
        self._selection = queries_of(data, "selection")

    def values(self, vectors: Vectors) -> Values:
        """Return every metric of every query; `link` is NaN for queries of other families.

        Args:
            vectors: Of the chunks, at unit length; *shape* (chunks, d).
        """
        values = retrieval(self._data, self._queries, vectors)
        if any(query.family == LINK for query in self._data.queries):
            values[LINK] = link_accuracy(self._data, self._queries, vectors)
        return values

    def best(self, id_: str, kind: Kind, candidates: Iterable[Candidate]) -> Scored:
        """Return the candidate with the best corpus nDCG@10 on the selection half; of equal ones the first.

        Raises:
            EvaluationError: there is no candidate.
        """
        found: Scored | None = None
        for candidate in candidates:
            values = self.values(candidate.vectors)
            selection = self.selection(values)
            if found is None or selection > found.selection:
                found = Scored(id_, kind, values, selection, candidate.settings)
        if found is None:
            raise EvaluationError(f"row {id_}: there is nothing to choose from")
        return found

    def memory(self, model: str, control: str, vectors: Vectors) -> Scored:
        """Return the row of a model with memory."""
        return self._of_model(model, control, self.values(vectors))

    def mean(self, model: str, rows: Sequence[Scored]) -> Scored:
        """Return the mean of rows of one kind, query by query: of several seeds of a training."""
        values = {key: np.mean([row.values[key] for row in rows], axis=0) for key in rows[0].values}
        return self._of_model(model, rows[0].control, values)

    def selection(self, values: Values) -> float:
        """Return nDCG@10 on the selection half."""
        return float(values[MAIN][self._selection].mean())

    def _of_model(self, model: str, control: str, values: Values) -> Scored:
        return Scored(
            id=f"{model}: {control}",
            kind="memory",
            values=values,
            selection=self.selection(values),
            model=model,
            control=control,
        )


def link_accuracy(data: RetrievalSet, queries: Vectors, chunks: Vectors) -> NDArray[np.float64]:
    """Tell whether each link query ranks its own chunk first among its document's attribute chunks.

    A document's attribute chunks are the gold chunks of its link queries; the earlier of two with one score stands
    first.

    Args:
        data: The set.
        queries: Unit vectors; *shape* (queries, d).
        chunks: Unit vectors; *shape* (chunks, d).

    Returns:
        1, 0, or NaN for a query of another family; *shape* (queries,).
    """
    attributes: dict[int, set[int]] = {}
    for query in data.queries:
        if query.family == LINK:
            attributes.setdefault(query.document, set()).update(query.gold)
    values = np.full(len(data.queries), np.nan)
    for i, query in enumerate(data.queries):
        if query.family == LINK:
            rivals = sorted(attributes[query.document])
            first = rivals[int(np.argmax(chunks[rivals] @ queries[i]))]
            values[i] = first in query.gold
    return values
