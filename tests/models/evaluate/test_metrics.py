"""Own metrics against the libraries that everyone knows."""

import numpy as np
import pytest
from scipy.stats import rankdata, spearmanr  # type: ignore[import-untyped] # ships no types
from sklearn.metrics import ndcg_score  # type: ignore[import-untyped] # ships no types

from models.evaluate.data import Query, RetrievalSet
from models.evaluate.metrics import average_ranks, retrieval, spearman

RANDOM = np.random.default_rng(5)


def correlation(x: object, y: object) -> float:
    a, b = np.asarray(x, float), np.asarray(y, float)
    return float(spearman(a, b)(np.ones((1, len(a))))[0])


@pytest.mark.parametrize("levels", [3, 10, 10_000])
def test_spearman_is_scipys(levels: int):
    x = RANDOM.integers(0, levels, 300).astype(float)
    y = x + RANDOM.integers(0, levels, 300)
    assert correlation(x, y) == pytest.approx(spearmanr(x, y).statistic, abs=1e-12)


def test_a_weight_stands_for_that_many_pairs():
    x, y = RANDOM.integers(0, 8, (2, 40)).astype(float)
    weights = RANDOM.multinomial(40, np.full(40, 1 / 40), 5).astype(float)
    found = spearman(x, y)(weights)
    for row, value in zip(weights.astype(int), found, strict=True):
        expected = spearmanr(np.repeat(x, row), np.repeat(y, row)).statistic
        assert value == pytest.approx(expected, abs=1e-12)


def test_ties_share_the_average_of_their_ranks():
    values = RANDOM.integers(0, 5, 30).astype(float)
    assert np.array_equal(average_ranks(values, np.ones((1, 30)))[0], rankdata(values))


def test_a_constant_side_correlates_with_nothing():
    assert correlation([1, 1, 1], [1, 2, 3]) == 0


def directions(*shape: int) -> np.ndarray:
    vectors = RANDOM.standard_normal(shape)
    unit: np.ndarray = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit.astype(np.float32)


def random_set(documents: int, chunks: int, queries: int, most_gold: int) -> RetrievalSet:
    asked = []
    for _ in range(queries):
        document = int(RANDOM.integers(documents))
        count = int(RANDOM.integers(1, most_gold + 1))
        gold = RANDOM.choice(chunks, count, replace=False) + document * chunks
        asked.append(Query("?", document, tuple(sorted(gold.tolist()))))
    return RetrievalSet("random", ((".",) * chunks,) * documents, tuple(asked))


@pytest.mark.parametrize("most_gold", [1, 4, 15])
def test_ndcg_is_sklearns(most_gold: int):
    data = random_set(documents=4, chunks=20, queries=600, most_gold=most_gold)
    queries, chunks = directions(600, 16), directions(80, 16)
    found = retrieval(data, queries, chunks)
    scores = queries @ chunks.T
    for row, query in enumerate(data.queries):
        relevant = np.zeros(80)
        relevant[list(query.gold)] = 1
        expected = ndcg_score([relevant], [scores[row]], k=10)
        assert found["ndcg@10"][row] == pytest.approx(expected, abs=1e-9)
        assert found["r@1"][row] == relevant[scores[row].argmax()]
        own = slice(query.document * 20, query.document * 20 + 20)
        expected = ndcg_score([relevant[own]], [scores[row, own]], k=10)
        assert found["ndcg@10 in document"][row] == pytest.approx(expected, abs=1e-9)
        assert found["r@1 in document"][row] == relevant[own][scores[row, own].argmax()]


def test_a_document_of_fewer_than_ten_chunks():
    data = random_set(documents=2, chunks=3, queries=50, most_gold=3)
    found = retrieval(data, directions(50, 8), directions(6, 8))
    for values in found.values():
        assert values.min() >= 0
        assert values.max() == pytest.approx(1)
    everything = [len(query.gold) == 3 for query in data.queries]
    assert found["ndcg@10 in document"][everything] == pytest.approx(1)


def test_of_equal_scores_the_earlier_chunk_stands_first():
    same = np.tile(directions(1, 8), (3, 1))
    queries = tuple(Query("?", 0, (gold,)) for gold in range(3))
    found = retrieval(RetrievalSet("ties", (("a", "b", "c"),), queries), same, same)
    assert found["r@1"].tolist() == [1, 0, 0]
    assert found["ndcg@10"] == pytest.approx([1, 1 / np.log2(3), 0.5])
