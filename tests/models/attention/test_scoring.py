"""Score functions against their formulas, written as loops over plain numbers."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from models.attention.scoring import SCORES, Score
from models.config import ScoreName

HEADS, WIDTH = 2, 4
Formula = Callable[[list[float], list[float], Score, int], float]


def randomised(name: ScoreName, heads: int = HEADS, width: int = WIDTH) -> Score:
    """Return a score function away from where it begins."""
    score = SCORES[name](heads, width)
    assert isinstance(score, nn.Module)
    torch.manual_seed(5)
    with torch.no_grad():
        for parameter in score.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return score


def dot(q: list[float], k: list[float]) -> float:
    return sum(a * b for a, b in zip(q, k, strict=True))


def scaled_dot_product(q: list[float], k: list[float], _score: Score, _head: int) -> float:
    return dot(q, k) / math.sqrt(len(q))


def bilinear(q: list[float], k: list[float], score: Score, head: int) -> float:
    weight = values(score, "weight")[head]
    return sum((q[i] * weight[i][j] * k[j] for i in range(len(q)) for j in range(len(k))), 0.0)


def cosine(q: list[float], k: list[float], score: Score, head: int) -> float:
    temperature = math.exp(values(score, "log_temperature")[head])
    return dot(q, k) / math.sqrt(dot(q, q) * dot(k, k)) / temperature


def additive(q: list[float], k: list[float], score: Score, head: int) -> float:
    """v . tanh(W q + U k); the parameters hold W and U transposed."""
    w, u = values(score, "query_weight")[head], values(score, "key_weight")[head]
    v = values(score, "vector")[head]
    total = 0.0
    for j in range(len(v)):
        inner = sum(q[i] * w[i][j] + k[i] * u[i][j] for i in range(len(q)))
        total += v[j] * math.tanh(inner)
    return total


def values(score: Score, name: str) -> Any:
    """Return a parameter as lists in lists, heads first."""
    return getattr(score, name).tolist()


FORMULAS: dict[ScoreName, Formula] = {
    "dot": scaled_dot_product,
    "bilinear": bilinear,
    "cosine": cosine,
    "additive": additive,
}


def queries_and_keys(heads: int = HEADS, width: int = WIDTH) -> tuple[Tensor, Tensor]:
    torch.manual_seed(6)
    return torch.randn(heads, 3, width), torch.randn(heads, 5, width)


def test_every_score_function_has_its_formula_here():
    assert FORMULAS.keys() == SCORES.keys()


@pytest.mark.parametrize("name", SCORES)
def test_a_score_is_its_formula(name: ScoreName):
    score = randomised(name)
    query, key = queries_and_keys()
    found = score(query, key)
    assert found.shape == (HEADS, 3, 5)
    for head in range(HEADS):
        for i in range(3):
            for j in range(5):
                expected = FORMULAS[name](
                    query[head, i].tolist(), key[head, j].tolist(), score, head
                )
                assert found[head, i, j].item() == pytest.approx(expected, abs=1e-5, rel=1e-5)


@pytest.mark.parametrize("name", SCORES)
def test_a_batch_of_sequences_is_scored_one_by_one(name: ScoreName):
    score = randomised(name)
    query, key = torch.randn(3, HEADS, 6, WIDTH), torch.randn(3, HEADS, 2, WIDTH)
    together = score(query, key)
    for place in range(3):
        torch.testing.assert_close(together[place], score(query[place], key[place]))


@pytest.mark.parametrize("name", [name for name, kind in SCORES.items() if kind.fused])
def test_the_inner_product_for_the_fused_path_says_the_same(name: ScoreName):
    score = randomised(name)
    query, key = queries_and_keys()
    new_query, new_key, scale = score.as_dot_product(query, key)
    scaled = new_query @ new_key.mT * (1 / math.sqrt(WIDTH) if scale is None else scale)
    torch.testing.assert_close(scaled, score(query, key), atol=1e-5, rtol=1e-5)


def test_additive_attention_refuses_to_be_an_inner_product():
    score = SCORES["additive"](HEADS, WIDTH)
    assert not score.fused
    with pytest.raises(NotImplementedError, match="no inner product"):
        score.as_dot_product(*queries_and_keys())


def test_bilinear_begins_as_the_scaled_dot_product():
    query, key = queries_and_keys()
    begins = SCORES["bilinear"](HEADS, WIDTH)(query, key)
    torch.testing.assert_close(begins, SCORES["dot"](HEADS, WIDTH)(query, key))


def test_cosine_does_not_care_for_length_and_begins_within_ten():
    score = SCORES["cosine"](HEADS, WIDTH)
    query, key = queries_and_keys()
    found = score(query, key)
    torch.testing.assert_close(score(7 * query, 0.01 * key), found, atol=1e-4, rtol=1e-4)
    assert found.abs().max() <= 10 + 1e-4
    torch.testing.assert_close(
        score(query, query).diagonal(dim1=1, dim2=2), torch.full((2, 3), 10.0)
    )


def test_cosine_scores_a_vector_of_zeros_as_unrelated():
    score = randomised("cosine")
    query, key = torch.zeros(HEADS, 1, WIDTH), queries_and_keys()[1]
    assert not score(query, key).any()
    new_query, new_key, _ = score.as_dot_product(query, key)
    assert not (new_query @ new_key.mT).any()


@pytest.mark.parametrize("name", [name for name in SCORES if name != "dot"])
def test_every_parameter_of_every_head_learns(name: ScoreName):
    score = randomised(name)
    assert isinstance(score, nn.Module)
    score(*queries_and_keys()).square().sum().backward()  # type: ignore[no-untyped-call] # torch
    assert list(score.parameters())
    for parameter in score.parameters():
        assert parameter.grad is not None
        assert parameter.shape[0] == HEADS
        assert (parameter.grad.reshape(HEADS, -1) != 0).any(1).all()
