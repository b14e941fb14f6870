"""A memory as a value."""

from dataclasses import replace

import pytest
import torch

from models.memory import MEMORY_RULES, Memory

SHAPES = {"matrix": (2, 3), "topic.state": (4,), "count": ()}


def test_an_empty_memory_knows_that_it_is_and_holds_zeros():
    memory = Memory.empty(SHAPES)
    assert memory.tokens_seen == 0
    assert memory.shapes == SHAPES
    assert not any(part.any() for part in memory.parts.values())
    assert {part.dtype for part in memory.parts.values()} == {torch.float32}


def test_nobody_changes_a_memory_that_was_made():
    parts = {"a": torch.zeros(1)}
    memory = Memory(parts, 0)
    parts["b"] = torch.zeros(1)
    assert list(memory.parts) == ["a"]
    with pytest.raises(TypeError):
        memory.parts["a"] = torch.ones(1)  # type: ignore[index]
    more = replace(memory, parts={**memory.parts, "b": torch.ones(1)})
    assert (list(memory.parts), list(more.parts)) == (["a"], ["a", "b"])


def test_bytes_are_the_sum_over_all_parts_whoever_owns_them():
    assert Memory.empty(SHAPES).nbytes == 4 * (6 + 4 + 1)


@pytest.mark.parametrize(
    ("rule", "nbytes"),
    [("linear", 304_128), ("delta", 304_128), ("delta-corrected", 304_128), ("ridge", 1_179_648)],
)
def test_bytes_of_the_reference_encoder(rule, nbytes):
    shapes = MEMORY_RULES[rule].parts(heads=12, key_width=32, value_width=32)
    memory = Memory.empty({name: (6, *shape) for name, shape in shapes.items()})
    assert memory.nbytes == nbytes
