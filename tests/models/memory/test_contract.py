"""The contract every memory rule keeps, over the registry: nothing here names a rule."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from models.memory import MEMORY_RULES, AdditiveRule, MemoryRule, Parts

HEADS, KEYS, VALUES = 2, 5, 3
LENGTHS = (3, 1, 40)  # a short segment, then one token, then a long one
Tokens = tuple[Tensor, Tensor]


@pytest.fixture(params=MEMORY_RULES)
def rule(request: pytest.FixtureRequest) -> MemoryRule:
    return MEMORY_RULES[request.param]


@pytest.fixture(params=[name for name, rule in MEMORY_RULES.items() if rule.additive])
def additive(request: pytest.FixtureRequest) -> AdditiveRule:
    rule = MEMORY_RULES[request.param]
    assert isinstance(rule, AdditiveRule)
    return rule


def tokens(count: int, seed: int) -> Tokens:
    generator = torch.Generator().manual_seed(seed)
    key = torch.randn(count, HEADS, KEYS, generator=generator)
    return key, torch.randn(count, HEADS, VALUES, generator=generator)


def nothing(rule: MemoryRule) -> Parts:
    shapes = rule.parts(HEADS, KEYS, VALUES)
    return {name: torch.zeros(shape) for name, shape in shapes.items()}


def fold(write: Callable[..., Parts], segments: list[Tokens], parts: Parts) -> Parts:
    """Write one segment after the other, beginning with nothing."""
    for i, (key, value) in enumerate(segments):
        parts = write(key, value, parts, empty=i == 0)
    return parts


def assert_same(one: Parts, other: Parts, tolerance: float = 1e-4) -> None:
    assert one.keys() == other.keys()
    for name, part in one.items():
        torch.testing.assert_close(part, other[name], atol=tolerance, rtol=tolerance)


def test_parts_keep_their_shape_and_are_float32(rule: MemoryRule):
    parts = fold(rule.write, [tokens(9, 0), tokens(4, 1)], nothing(rule))
    assert {name: tuple(part.shape) for name, part in parts.items()} == rule.parts(
        HEADS, KEYS, VALUES
    )
    assert {part.dtype for part in parts.values()} == {torch.float32}
    read = rule.read(tokens(4, 2)[0], parts)
    assert (read.shape, read.dtype) == ((4, HEADS, VALUES), torch.float32)


def test_write_and_read_are_their_stepwise_twins(rule: MemoryRule):
    segments = [tokens(length, seed) for seed, length in enumerate(LENGTHS)]
    fast = fold(rule.write, segments, nothing(rule))
    slow = fold(rule.write_stepwise, segments, nothing(rule))
    assert_same(fast, slow)
    query = tokens(7, 9)[0]
    read = rule.read(query, fast)
    torch.testing.assert_close(read, rule.read_stepwise(query, slow), atol=1e-4, rtol=1e-4)
    assert read.std() > 1e-2


def test_gradients_are_those_of_the_stepwise_twins(rule: MemoryRule):
    def gradients(write: Callable[..., Parts], read: Callable[..., Tensor]) -> list[Tensor]:
        segments = [tokens(length, seed) for seed, length in enumerate(LENGTHS)]
        leaves = [tensor.requires_grad_() for segment in segments for tensor in segment]
        query = tokens(7, 9)[0].requires_grad_()
        read(query, fold(write, segments, nothing(rule))).square().sum().backward()  # type: ignore[no-untyped-call]
        found = [leaf.grad for leaf in (*leaves, query) if leaf.grad is not None]
        assert len(found) == 2 * len(LENGTHS) + 1
        return found

    fast = gradients(rule.write, rule.read)
    slow = gradients(rule.write_stepwise, rule.read_stepwise)
    for one, other in zip(fast, slow, strict=True):
        tolerance = 1e-4 * max(1.0, other.abs().max().item())
        torch.testing.assert_close(one, other, atol=tolerance, rtol=1e-3)
    assert fast[-2].abs().max() > 1e-3  # the last segment's values


def test_nothing_that_goes_in_is_changed(rule: MemoryRule):
    parts = fold(rule.write, [tokens(5, 0)], nothing(rule))
    kept = {name: part.clone() for name, part in parts.items()}
    (key, value), (key_before, value_before) = tokens(6, 1), tokens(6, 1)
    rule.read(key, parts)
    after = rule.write(key, value, parts, empty=False)
    assert all(torch.equal(parts[name], kept[name]) for name in kept)
    assert torch.equal(key, key_before)
    assert torch.equal(value, value_before)
    assert not any(torch.equal(after[name], kept[name]) for name in list(kept)[:1])


def test_a_binding_alone_is_read_back(rule: MemoryRule):
    key, value = tokens(1, 3)
    parts = rule.write(key, value, nothing(rule), empty=True)
    torch.testing.assert_close(rule.read(key, parts), value, atol=1e-2, rtol=1e-2)


def test_heads_do_not_know_of_each_other(rule: MemoryRule):
    key, value = tokens(6, 4)
    query = tokens(3, 5)[0]
    both = rule.read(query, rule.write(key, value, nothing(rule), empty=True))
    key[:, 0], value[:, 0] = torch.randn(6, KEYS), torch.randn(6, VALUES)
    changed = rule.read(query, rule.write(key, value, nothing(rule), empty=True))
    torch.testing.assert_close(changed[:, 1], both[:, 1])
    assert (changed[:, 0] - both[:, 0]).abs().max() > 1e-2


def test_a_memory_of_much_text_stays_finite(rule: MemoryRule):
    """Short segments and long ones, similar keys: where a rule overshoots, this is where it diverges."""
    parts, (key, value) = nothing(rule), tokens(200, 6)
    key = 1 + 0.3 * key
    for i in range(300):
        some = slice(None, 2 if i % 50 == 0 else None)
        parts = rule.write(key[some], value[some], parts, empty=i == 0)
    assert all(part.isfinite().all() for part in parts.values())
    assert rule.read(key, parts).abs().max() <= 10 * value.abs().max()


def test_a_rule_says_whether_it_is_additive(rule: MemoryRule):
    assert rule.additive == isinstance(rule, AdditiveRule)


def test_memories_of_two_texts_make_that_of_both(additive: AdditiveRule):
    first, second = tokens(8, 6), tokens(5, 7)
    whole = fold(additive.write, [first, second], nothing(additive))
    one, other = (fold(additive.write, [part], nothing(additive)) for part in (first, second))
    assert_same(additive.merge(one, other), whole, 1e-5)
    assert_same(additive.merge(other, one), whole, 1e-5)
    assert_same(additive.subtract(whole, one), other, 1e-5)
    assert_same(additive.subtract(whole, other), one, 1e-5)


def test_a_memory_less_itself_is_empty(additive: AdditiveRule):
    parts = fold(additive.write, [tokens(8, 6)], nothing(additive))
    assert not any(part.any() for part in additive.subtract(parts, parts).values())
