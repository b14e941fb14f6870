"""Attention's three steps: what each gives, and that the fused path gives the same, gradients included."""

import math

import pytest
import torch
from torch import Tensor, nn

from models.attention.scoring import SCORES
from models.attention.softmax import Direction, attend, attend_in_steps, select, visible
from models.config import ScoreName
from models.packing import Packing
from tests.models.attention.test_scoring import randomised

HEADS, WIDTH, VALUE_WIDTH = 3, 8, 5
DIRECTIONS: list[Direction] = ["both", "forward", "backward"]
PACKINGS = [(1,), (63,), (2, 2, 7, 1, 63, 63, 63, 1, 1, 7, 2)]
each_score = pytest.mark.parametrize("name", SCORES)
each_direction = pytest.mark.parametrize("direction", DIRECTIONS)


def inputs(tokens: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return queries, keys and values that ask for gradients."""
    torch.manual_seed(tokens)
    query, key = torch.randn(tokens, HEADS, WIDTH), torch.randn(tokens, HEADS, WIDTH)
    value = torch.randn(tokens, HEADS, VALUE_WIDTH)
    return query.requires_grad_(), key.requires_grad_(), value.requires_grad_()


def may_see(direction: Direction, i: int, j: int) -> bool:
    return direction == "both" or (j <= i if direction == "forward" else j >= i)


@each_score
@each_direction
@pytest.mark.parametrize("lengths", PACKINGS, ids=["one", "long", "ugly"])
def test_the_fused_path_is_the_three_steps(name: ScoreName, direction: Direction, lengths):
    packing = Packing(lengths)
    parts = q, k, v = inputs(sum(lengths))
    score = randomised(name, HEADS, WIDTH)
    assert isinstance(score, nn.Module)
    fast = attend(*parts, packing, score, direction)
    slow = torch.cat(
        [
            attend_in_steps(q[rows], k[rows], v[rows], score, direction).outputs.transpose(0, 1)
            for rows in packing.slices
        ]
    )
    assert fast.shape == (sum(lengths), HEADS, VALUE_WIDTH)
    torch.testing.assert_close(fast, slow, atol=1e-5, rtol=1e-5)

    leaves = [*parts, *score.parameters()]
    towards = torch.randn_like(fast)
    ours, theirs = (torch.autograd.grad((y * towards).sum(), leaves) for y in (fast, slow))
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)
    if sum(lengths) > 1:
        assert all(gradient.abs().max() > 0 for gradient in ours)


@each_score
@each_direction
@pytest.mark.parametrize("tokens", [1, 2, 7, 63])
def test_each_step_follows_from_the_one_before(name: ScoreName, direction: Direction, tokens):
    query, key, value = inputs(tokens)
    score = randomised(name, HEADS, WIDTH)
    found = attend_in_steps(query, key, value, score, direction)
    assert found.direction == direction
    assert found.scores.shape == found.weights.shape == (HEADS, tokens, tokens)

    seen = torch.tensor([[may_see(direction, i, j) for j in range(tokens)] for i in range(tokens)])
    plain = score(query.transpose(0, 1), key.transpose(0, 1))
    assert torch.equal(found.scores[:, seen], plain[:, seen])
    assert (found.scores[:, ~seen] == -math.inf).all()
    assert (found.weights[:, ~seen] == 0).all()
    assert (found.weights[:, seen] > 0).all()
    torch.testing.assert_close(found.weights.sum(-1), torch.ones(HEADS, tokens))
    torch.testing.assert_close(found.weights, torch.softmax(found.scores, -1))
    torch.testing.assert_close(found.outputs, found.weights @ value.transpose(0, 1))


@each_direction
def test_what_may_be_seen_is_said_by_places_alone(direction: Direction):
    found = visible(6, direction)
    for i in range(6):
        assert found[i, i]
        for j in range(6):
            assert bool(found[i, j]) == may_see(direction, i, j)


def test_a_sequence_never_looks_into_its_neighbour():
    query, key, value = (x.detach() for x in inputs(12))
    for lengths in ((5, 7), (6, 6), (4, 4, 4)):
        first = slice(0, lengths[0])
        score = SCORES["dot"](HEADS, WIDTH)
        before = attend(query, key, value, Packing(lengths), score)[first]
        strange = value.clone()
        strange[lengths[0] :] = 1e6
        after = attend(query, key, strange, Packing(lengths), score)[first]
        assert torch.equal(before, after)


def test_huge_scores_neither_overflow_nor_vanish():
    scores = torch.tensor([[[1e4, -1e4, 9e3], [-1e4, -1e4, -1e4], [1e30, -1e30, 1e4]]])
    _, weights = select(scores, visible(3, "both"))
    expected = torch.tensor([[[1.0, 0, 0], [1 / 3, 1 / 3, 1 / 3], [1, 0, 0]]])
    torch.testing.assert_close(weights, expected)
    _, hidden = select(scores, visible(3, "forward"))
    torch.testing.assert_close(hidden[0, 1], torch.tensor([0.5, 0.5, 0.0]))


def test_the_fused_path_is_taken_where_a_score_has_one(monkeypatch: pytest.MonkeyPatch):
    """Else the twins would be one, and agree for no merit."""
    calls: list[bool] = []
    real = torch.nn.functional.scaled_dot_product_attention

    def counting(*args, **options):
        calls.append(True)
        return real(*args, **options)

    monkeypatch.setattr("models.attention.softmax.F.scaled_dot_product_attention", counting)
    for kind in SCORES.values():
        calls.clear()
        attend(*inputs(9), Packing((4, 4, 1)), kind(HEADS, WIDTH))
        assert len(calls) == (2 if kind.fused else 0)  # one for each run of equal lengths
        calls.clear()
        attend_in_steps(*inputs(9), kind(HEADS, WIDTH), "both")
        assert not calls
