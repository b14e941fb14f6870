"""The figures themselves: rank correlation, and the worth of a ranking."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.evaluate.bootstrap import Statistic
from models.evaluate.data import RetrievalSet

DEPTH: Final = 10
"""Ranks that nDCG looks at."""
_BLOCK: Final = 512  # queries at a time: bounds the matrix of scores


def spearman(x: NDArray[np.float64], y: NDArray[np.float64]) -> Statistic:
    """Return Spearman's rank correlation as a statistic of the pairs' weights.

    Ties get their average rank. Where one side is constant there is no order to agree with, and it is 0.

    Args:
        x: One value of each pair; *shape* (pairs,).
        y: The other; *shape* (pairs,).
    """

    def statistic(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        total = weights.sum(1, keepdims=True)
        ranks = [average_ranks(values, weights) for values in (x, y)]
        a, b = (rank - (weights * rank).sum(1, keepdims=True) / total for rank in ranks)
        together = (weights * a * b).sum(1)
        apart = np.sqrt((weights * a * a).sum(1) * (weights * b * b).sum(1))
        correlations: NDArray[np.float64] = np.zeros_like(together)
        np.divide(together, apart, out=correlations, where=apart > 0)
        return correlations

    return statistic


def average_ranks(values: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the rank of each value, from 1, where value i is there `weights[:, i]` times.

    Args:
        values: *shape* (n,).
        weights: *shape* (resamples, n).

    Returns:
        *shape* (resamples, n).
    """
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    tied = np.add.reduceat(weights[:, order], starts, axis=1)
    before = np.cumsum(tied, axis=1) - tied
    sizes = np.diff(np.append(starts, len(values)))
    ranks = np.empty_like(weights)
    ranks[:, order] = np.repeat(before + (tied + 1) / 2, sizes, axis=1)
    return ranks


def retrieval(
    data: RetrievalSet, queries: NDArray[np.float32], chunks: NDArray[np.float32]
) -> dict[str, NDArray[np.float64]]:
    """Rank chunks by cosine for each query, among all chunks of the set and inside the query's own document.

    Args:
        data: The set.
        queries: Unit vectors; *shape* (queries, d).
        chunks: Unit vectors, chunks of all documents in one row; *shape* (chunks, d).

    Returns:
        For each metric its value for each query, *shape* (queries,). `ndcg@10` has binary gains (Järvelin and
        Kekäläinen 2002), and 1 is the best that the first ten ranks can hold. `r@1` is 1 where a gold chunk stands
        first. Of chunks with the same score the earlier one stands first.
    """
    parts: list[NDArray[np.float64]] = []
    for start in range(0, len(queries), _BLOCK):
        rows = slice(start, start + _BLOCK)
        scores = queries[rows] @ chunks.T
        gold = _gold(data, rows)
        own = data.query_documents[rows, None] == data.chunk_documents
        inside = np.where(own, scores, -np.inf)  # all gold chunks are inside: others cannot count
        parts.append(np.stack([*_worth(scores, gold), *_worth(inside, gold)]))
    values = np.concatenate(parts, axis=1)
    return dict(zip(RETRIEVAL_METRICS, values, strict=True))


RETRIEVAL_METRICS: Final = (
    f"ndcg@{DEPTH}",
    "r@1",
    f"ndcg@{DEPTH} in document",
    "r@1 in document",
)


def _gold(data: RetrievalSet, rows: slice) -> NDArray[np.bool_]:
    queries = data.queries[rows]
    gold = np.zeros((len(queries), len(data.chunk_documents)), np.bool_)
    for row, query in enumerate(queries):
        gold[row, list(query.gold)] = True
    return gold


def _worth(
    scores: NDArray[np.float32], gold: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return nDCG@10 and R@1 of the rankings that scores mean; both *shape* (queries,)."""
    ranking = np.argsort(-scores, axis=1, kind="stable")[:, :DEPTH]
    hits = np.take_along_axis(gold, ranking, axis=1).astype(np.float64)
    discounts = 1 / np.log2(np.arange(2, DEPTH + 2))
    ideal = np.cumsum(discounts)[np.minimum(gold.sum(1), DEPTH) - 1]
    return hits @ discounts[: hits.shape[1]] / ideal, hits[:, 0]
