"""The reader: its step by hand, its segment form and its document form say the same, values and gradients."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from models.memory import Memory
from models.packing import Packing
from models.reader import ContextReader
from models.reader.parallel import read_documents
from models.reader.reader import HEADS
from models.reader.topics import pool_topics

WIDTH = 16
LENGTHS = (9, 3, 12, 7, 5)


@pytest.fixture
def reader() -> ContextReader:
    """A reader whose gates depend on everything: trained ones do."""
    torch.manual_seed(0)
    reader = ContextReader(WIDTH)
    with torch.no_grad():
        for parameter in reader.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return reader.eval()


@pytest.fixture
def document() -> list[Tensor]:
    """Token vectors of a document's segments."""
    torch.manual_seed(1)
    return [torch.randn(length, WIDTH) for length in LENGTHS]


def _packing(*lengths: int) -> Packing:
    return Packing(lengths)


def _content(length: int) -> Tensor:
    content = torch.ones(length, dtype=torch.bool)
    content[[0, -1]] = False
    return content


def _fold(reader: ContextReader, document: list[Tensor]) -> tuple[Tensor, Memory]:
    memory = Memory.empty(reader.memory_parts)
    added = []
    for x in document:
        found, [parts] = reader(x, x.sum(0, keepdim=True), _packing(len(x)), [memory])
        memory = Memory(parts, memory.tokens_seen + len(x) - 2)
        added.append(found)
    return torch.cat(added), memory


def test_nothing_is_added_before_something_was_read(
    reader: ContextReader, document: list[Tensor]
) -> None:
    added, memory = _fold(reader, document)

    assert torch.equal(added[0], torch.zeros(WIDTH))
    assert added[1:].abs().amax(-1).min() > 0
    assert memory.shapes == dict(reader.memory_parts)


def test_forward_is_step(reader: ContextReader, document: list[Tensor]) -> None:
    added, end = _fold(reader, document)

    memory, stepped = Memory.empty(reader.memory_parts), []
    for x in document:
        found, parts = reader.step(x, _content(len(x)), memory)
        memory = Memory(parts, memory.tokens_seen + len(x) - 2)
        stepped.append(found)

    torch.testing.assert_close(torch.cat(stepped), added, atol=1e-4, rtol=1e-4)
    for name, part in memory.parts.items():
        torch.testing.assert_close(part, end.parts[name], atol=1e-4, rtol=1e-4)


def test_batched_documents_do_not_see_each_other(
    reader: ContextReader, document: list[Tensor]
) -> None:
    first, second = document[0], document[2]
    _, memory = _fold(reader, document[:2])
    other = _fold(reader, document[3:])[1]
    x = torch.cat([first, second])
    sums = torch.stack([first.sum(0), second.sum(0)])

    together, parts = reader(x, sums, _packing(len(first), len(second)), [memory, other])

    for i, (tokens, before) in enumerate(((first, memory), (second, other))):
        alone, [after] = reader(tokens, tokens.sum(0)[None], _packing(len(tokens)), [before])
        torch.testing.assert_close(together[i : i + 1], alone)
        for name, part in after.items():
            # A batch rounds otherwise, and the gate's exponential makes much of it.
            torch.testing.assert_close(parts[i][name], part, atol=1e-4, rtol=1e-4)


def test_document_form_is_the_fold_with_padding_and_gradients(
    reader: ContextReader, document: list[Tensor]
) -> None:
    def gradients(loss: Tensor) -> list[Tensor]:
        return list(torch.autograd.grad(loss, list(reader.parameters())))

    added, _ = _fold(reader, document)
    sums = torch.stack([x.sum(0) for x in document])
    folded = added / sums.norm(dim=-1, keepdim=True)

    x = torch.cat(document)
    topics, _ = pool_topics(x, reader.topic(x), _packing(*LENGTHS))
    padding = torch.randn(2, WIDTH)
    directions = torch.cat([F.normalize(sums, dim=-1), F.normalize(padding, dim=-1)])
    topics = torch.cat([topics, topics[:2]])
    present = torch.tensor([True] * len(LENGTHS) + [False] * 2)
    found = read_documents(
        reader, x, _packing(*LENGTHS), directions[None], topics[None], present[None]
    )[0]

    torch.testing.assert_close(found[: len(LENGTHS)], folded, atol=1e-5, rtol=1e-4)
    probe = torch.randn_like(folded)
    for one, other in zip(
        gradients((found[: len(LENGTHS)] * probe).sum()),
        gradients((folded * probe).sum()),
        strict=True,
    ):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-3)


def test_a_segment_of_cls_and_sep_leaves_the_memory_as_it_was(
    reader: ContextReader, document: list[Tensor]
) -> None:
    _, memory = _fold(reader, document)
    bare = torch.randn(2, WIDTH)

    _, [parts] = reader(bare, bare.sum(0, keepdim=True), _packing(2), [memory])
    _, stepped = reader.step(bare, _content(2), memory)

    for name, part in memory.parts.items():
        assert torch.equal(parts[name], part)
        assert torch.equal(stepped[name], part)


def test_a_memory_of_zeros_that_was_read_from_says_nothing_of_topics(
    reader: ContextReader, document: list[Tensor]
) -> None:
    zeros = Memory(
        {name: torch.zeros(shape) for name, shape in reader.memory_parts.items()}, tokens_seen=9
    )
    x = document[0]

    added, _ = reader(x, x.sum(0, keepdim=True), _packing(len(x)), [zeros])

    assert torch.equal(added, torch.zeros(1, WIDTH))


def test_state_stays_finite_and_of_one_size_over_a_long_stream(reader: ContextReader) -> None:
    torch.manual_seed(2)
    memory = Memory.empty(reader.memory_parts)
    with torch.inference_mode():
        for _ in range(2000):
            x = torch.randn(6, WIDTH)
            _, [parts] = reader(x, x.sum(0, keepdim=True), _packing(6), [memory])
            memory = Memory(parts, memory.tokens_seen + 4)

    assert memory.shapes == dict(reader.memory_parts)
    assert all(part.isfinite().all() for part in memory.parts.values())


def test_a_memory_holds_no_storage_of_its_batch(reader: ContextReader):
    """A session's state is kept; with it, a view would keep what the whole step was stacked into."""
    x = torch.randn(sum(LENGTHS), reader.width)
    packing = _packing(*LENGTHS)
    sums = torch.stack([x[rows].sum(0) for rows in packing.slices])
    memories = [Memory.empty(reader.memory_parts) for _ in LENGTHS]
    for parts in reader(x, sums, packing, memories)[1]:
        for part in parts.values():
            assert part.untyped_storage().nbytes() == part.nbytes


def test_heads_of_the_opening_write_by_signs_alone(reader: ContextReader):
    direction, other = F.normalize(torch.randn(2, reader.width), dim=-1)
    topics = F.normalize(torch.randn(HEADS, reader.width), dim=-1)
    shift = torch.rand(4)
    one, two = reader.write_gate(direction, topics, shift), reader.write_gate(other, -topics, shift)
    half = HEADS // 2
    for gate, same in zip(one, two, strict=True):
        assert torch.equal(gate[half:], same[half:])
        assert (gate[:half] - same[:half]).abs().min() > 1e-4
    moved = reader.write_gate(direction, topics, shift + 0.5)
    assert (one[1] - moved[1]).abs().min() > 1e-4


def test_gates_miss_features_in_training_alone(reader: ContextReader):
    direction = F.normalize(torch.randn(reader.width), dim=-1)
    topics, shift = torch.randn(HEADS, reader.width), torch.rand(4)
    served = [reader.write_gate(direction, topics, shift)[1] for _ in range(2)]
    reader.train()
    trained = [reader.write_gate(direction, topics, shift)[1] for _ in range(2)]
    assert torch.equal(*served)
    assert not torch.equal(*trained)
