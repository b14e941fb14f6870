"""Each loss is nothing for identical taps, and by hand on a case small enough for it."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from models.fit.losses import (
    RELATION_HEADS,
    Taps,
    layer_loss,
    relation_loss,
    sentence_loss,
    similarity_loss,
)

LOSSES = [sentence_loss, similarity_loss, layer_loss, relation_loss]
Loss = Callable[[Taps, Taps], Tensor]


def taps(*layers: Tensor, **relations: Tensor) -> Taps:
    return Taps(layers, relations)


def random_taps(seed: int) -> Taps:
    draw = torch.Generator().manual_seed(seed)

    def drawn() -> Tensor:
        return torch.randn(3, 5, 24, generator=draw).requires_grad_()

    return taps(drawn(), drawn(), query=drawn(), key=drawn(), value=drawn())


@pytest.mark.parametrize("loss", LOSSES)
def test_a_loss_is_nothing_for_the_teacher_itself_and_something_for_another(loss: Loss):
    teacher = random_taps(1)
    assert loss(teacher, teacher).item() == pytest.approx(0.0, abs=1e-6)
    found = loss(random_taps(2), teacher)
    assert found.shape == ()
    assert found.item() > 1e-3


@pytest.mark.parametrize("loss", LOSSES)
def test_a_student_can_learn_from_every_loss(loss: Loss):
    student = random_taps(2)
    loss(student, random_taps(1)).backward()  # type: ignore[no-untyped-call] # torch
    leaves = [*student.layers, *student.relations.values()]
    assert any(leaf.grad is not None and leaf.grad.abs().max() > 0 for leaf in leaves)


def sentences(*rows: list[float]) -> Taps:
    """Return taps of two tokens a sequence whose mean is the row, whatever their length."""
    means = torch.tensor(rows).unsqueeze(1)
    spread = torch.tensor([[[1.0], [-1.0]]])
    return taps(3 * means + spread)


def test_sentence_loss_is_one_less_the_cosine():
    teacher = sentences([1, 0], [0, 2])
    student = sentences([1, 1], [0, 5])
    expected = 1 - (math.sqrt(0.5) + 1) / 2
    assert sentence_loss(student, teacher).item() == pytest.approx(expected, abs=1e-6)


def test_similarity_loss_is_the_squared_difference_of_cosines_over_all_pairs():
    teacher = sentences([1, 0], [0, 1])
    student = sentences([1, 0], [1, 1])
    assert similarity_loss(student, teacher).item() == pytest.approx(2 * 0.5 / 4, abs=1e-6)


def test_similarity_loss_does_not_see_a_turn_of_all_vectors():
    teacher, turned = sentences([1, 0], [1, 2]), sentences([0, 1], [-2, 1])
    assert similarity_loss(turned, teacher).item() == pytest.approx(0.0, abs=1e-6)
    assert sentence_loss(turned, teacher).item() == pytest.approx(1.0, abs=1e-6)


def test_layer_loss_is_in_units_of_each_layers_variance():
    first, second = (
        torch.tensor([[[1.0, -1.0, 1.0, -1.0]]]),
        torch.tensor([[[10.0, -10.0, 10.0, -10.0]]]),
    )
    student = taps(first + 1, second + 10)
    # Variances 4/3 and 400/3; squared distances 1 and 100.
    assert layer_loss(student, taps(first, second)).item() == pytest.approx(0.75)
    assert layer_loss(taps(first, second + 10), taps(first, second)).item() == pytest.approx(0.375)


def divergence(ours: Tensor, theirs: Tensor) -> float:
    """Equations 6 and 7 of MiniLMv2 with loops: KL(teacher || student), mean over heads and tokens."""
    batch, tokens, width = ours.shape
    size, total = width // RELATION_HEADS, 0.0

    def relation(x: Tensor, b: int, head: int, i: int) -> list[float]:
        cut = x[b, :, head * size : (head + 1) * size].double()
        scores = [math.exp((cut[i] @ cut[j]).item() / math.sqrt(size)) for j in range(tokens)]
        return [score / sum(scores) for score in scores]

    for b in range(batch):
        for head in range(RELATION_HEADS):
            for i in range(tokens):
                target, found = (relation(x, b, head, i) for x in (theirs, ours))
                total += sum(p * math.log(p / q) for p, q in zip(target, found, strict=True))
    return total / (batch * RELATION_HEADS * tokens)


def test_relation_loss_is_the_divergence_summed_over_queries_keys_and_values():
    draw = torch.Generator().manual_seed(0)
    names = ("query", "key", "value")
    ours, theirs = (
        {name: torch.randn(2, 3, 24, generator=draw) for name in names} for _ in range(2)
    )
    expected = sum(divergence(ours[name], theirs[name]) for name in names)
    found = relation_loss(taps(**ours), taps(**theirs)).item()
    assert found == pytest.approx(expected, rel=1e-5)
