"""Ten million tokens in float32, against a twin in double precision."""

from itertools import cycle, islice

import pytest
import torch
from torch import Tensor

from models.config import MemoryRuleName
from models.memory import MEMORY_RULES, AdditiveRule, MemoryRule, Parts
from models.memory.features import positive_features
from models.memory.halves import join, split
from models.memory.ridge import RidgeRule

WIDTH = 8
TEXTS = 20  # different segments, over and over


def segments(length: int) -> list[tuple[Tensor, Tensor]]:
    """Return keys that resemble each other, as those of real text do, and their values."""
    generator = torch.Generator().manual_seed(1)
    key = 0.5 + 0.5 * torch.randn(TEXTS, length, 1, WIDTH, generator=generator)
    value = torch.randn(TEXTS, length, 1, WIDTH, generator=generator)
    return list(zip(key, value, strict=True))


def nothing(rule: MemoryRule, dtype: torch.dtype = torch.float32) -> Parts:
    shapes = rule.parts(1, WIDTH, WIDTH)
    return {name: torch.zeros(shape, dtype=dtype) for name, shape in shapes.items()}


def stream(rule: MemoryRule, length: int, tokens: int, dtype: torch.dtype) -> Parts:
    parts, texts = nothing(rule, dtype), segments(length)
    for i, (key, value) in enumerate(islice(cycle(texts), tokens // length)):
        parts = rule.write(key.to(dtype), value.to(dtype), parts, empty=i == 0)
    return parts


def error(read: Tensor, twin: Tensor) -> float:
    return float((read - twin).abs().max() / twin.abs().max())


@pytest.mark.parametrize(
    ("rule", "tokens", "bound"), [("linear", 10**7, 1e-4), ("delta", 10**7, 1e-3)]
)
def test_ten_million_tokens_are_read_as_in_double_precision(
    rule: MemoryRuleName, tokens: int, bound: float
):
    found, twin = (
        stream(MEMORY_RULES[rule], 2_500, tokens, dtype) for dtype in (torch.float32, torch.float64)
    )
    query = segments(50)[0][0]
    read = MEMORY_RULES[rule].read(query, found)
    assert error(read, MEMORY_RULES[rule].read(query.double(), twin)) < bound
    assert read.std() > 1e-3


def test_corrected_delta_forgets_its_rounding_errors():
    rule = MEMORY_RULES["delta-corrected"]
    query, errors = segments(50)[0][0], []
    for tokens in (10_000, 400_000):
        found, twin = (stream(rule, 250, tokens, dtype) for dtype in (torch.float32, torch.float64))
        errors.append(error(rule.read(query, found), rule.read(query.double(), twin)))
    assert max(errors) < 1e-4


def least_squares(rows: list[tuple[Tensor, Tensor]], times: int, query: Tensor) -> Tensor:
    """Return the read-out of ridge regression on bindings that were written so many times each."""
    key, value = (torch.cat(part)[:, 0].double() for part in zip(*rows, strict=True))
    phi = positive_features(key)
    gram, cross = times * phi.T @ phi, times * phi.T @ value
    regular = gram + 1e-2 * gram.trace() / WIDTH * torch.eye(WIDTH, dtype=torch.double)
    return (positive_features(query.double()) @ regular.inverse() @ cross).float()


@pytest.mark.parametrize("texts", [TEXTS, 1])
def test_ridge_reads_ten_million_tokens_as_their_closed_form(texts: int):
    """Also one and the same text over and over: float32 sums are off by more than what its keys differ in."""
    rule, length = RidgeRule(), 2_000
    rows = [(key[:4].repeat(500, 1, 1), value[:4].repeat(500, 1, 1)) for key, value in segments(4)]
    parts, writes = nothing(rule), 10**7 // length
    for i, (key, value) in enumerate(islice(cycle(rows[:texts]), writes)):
        parts = rule.write(key, value, parts, empty=i == 0)
    query = segments(50)[0][0]
    expected = least_squares(rows[:texts], writes // texts, query)
    assert error(rule.read(query, parts), expected) < 1e-6


@pytest.fixture
def long_read() -> Parts:
    """Return a ridge memory after 2**25 tokens, where float32 sums of single tokens stand still."""
    rule = RidgeRule()
    parts = rule.write(*segments(32)[0], nothing(rule), empty=True)
    for _ in range(20):
        parts = rule.merge(parts, parts)
    assert (parts["gram"].diagonal(dim1=1, dim2=2) > 2**24).all()
    return parts


def test_one_token_after_33_million_is_not_lost(long_read: Parts):
    rule, (key, value) = RidgeRule(), segments(1)[5]
    alone = rule.write(key, value, nothing(rule), empty=True)
    after = rule.write(key, value, long_read, empty=False)
    left = rule.subtract(after, long_read)
    torch.testing.assert_close(left["gram"], alone["gram"], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(rule.read(key, left), value, rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("rule", ["linear", "ridge"])
def test_a_beginning_can_be_taken_from_a_long_text(rule: MemoryRuleName):
    additive = MEMORY_RULES[rule]
    assert isinstance(additive, AdditiveRule)
    texts = segments(250)
    parts = prefix = nothing(additive)
    for i, (key, value) in enumerate(texts):
        parts = additive.write(key, value, parts, empty=i == 0)
        prefix = parts if i == TEXTS - 2 else prefix
    rest = additive.subtract(parts, prefix)
    expected = additive.write(*texts[-1], nothing(additive), empty=True)
    query = segments(50)[0][0]
    torch.testing.assert_close(
        additive.read(query, rest), additive.read(query, expected), rtol=1e-3, atol=1e-3
    )


def test_halves_hold_what_float32_cannot():
    number = torch.tensor([1e7 + 1e-3, -3.0, 0.0], dtype=torch.double)
    high, low = split(number)
    assert (high.dtype, low.dtype) == (torch.float32, torch.float32)
    assert high[0] != number[0]
    torch.testing.assert_close(join(high, low), number, rtol=1e-14, atol=0)


def test_gradients_pass_through_halves_unchanged():
    number = torch.tensor([1e7 + 1e-3, 2.5], dtype=torch.double, requires_grad=True)
    whole = join(*split(number))
    whole.backward(torch.tensor([0.5, -2.0], dtype=torch.double))  # type: ignore[no-untyped-call]
    assert number.grad is not None
    assert number.grad.tolist() == [0.5, -2.0]
