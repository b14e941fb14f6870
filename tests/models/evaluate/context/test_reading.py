"""Every way to read against one segment after the other, by hand."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from models.evaluate import EvaluationError, Variant
from models.evaluate.context.cuts import Cut
from models.evaluate.context.reading import read_apart, read_through
from models.evaluate.encoding import encode, plan_reading
from models.memory import Memory
from models.packing import Segment, full_steps
from tests.models.evaluate.context.conftest import DOCUMENTS

PARTNERS = [1, 3, 0, 2]  # of the longest document a shorter one, and the other way round


@pytest.fixture
def cut(infini: Variant) -> Cut:
    return Cut.of(infini.tokenizer, DOCUMENTS)


def ignored(_tokens: int) -> None:
    """Nobody looks on."""


def chunk_vector(
    variant: Variant, segments: Sequence[Segment], memories: Sequence[Memory | None]
) -> np.ndarray:
    with torch.inference_mode():
        sums = [
            variant.encoder([segment], None if memory is None else [memory]).sums
            for segment, memory in zip(segments, memories, strict=True)
        ]
    return torch.nn.functional.normalize(torch.cat(sums).sum(0), dim=0).numpy()


def histories(variant: Variant, cut: Cut) -> list[list[Memory]]:
    """Return the memory before each chunk of each document, and after its last one."""
    found = []
    with torch.inference_mode():
        for chunks in cut.documents:
            memories = [variant.encoder.empty_memory()]
            for chunk in chunks:
                memory = memories[-1]
                for segment in chunk:
                    [memory] = variant.encoder([segment], [memory]).memories or []
                memories.append(memory)
            found.append(memories)
    return found


def test_the_own_memory_is_the_one_the_service_would_have(infini: Variant, cut: Cut):
    through = read_through(infini, cut, infini.encoder.empty_memory(), None, ignored)
    expected = encode(infini, plan_reading(infini, DOCUMENTS)).vectors
    np.testing.assert_allclose(through.own, expected, atol=2e-5)
    assert through.other is None
    for end, history in zip(through.ends, histories(infini, cut), strict=True):
        assert end.tokens_seen == history[-1].tokens_seen
        for name, part in end.parts.items():
            torch.testing.assert_close(part, history[-1].parts[name])


def test_another_documents_memory_is_of_as_many_chunks_or_all_it_has(infini: Variant, cut: Cut):
    empty = infini.encoder.empty_memory()
    through = read_through(infini, cut, empty, PARTNERS, ignored)
    before = histories(infini, cut)
    expected = []
    for chunks, partner in zip(cut.documents, PARTNERS, strict=True):
        for place, chunk in enumerate(chunks):
            donated = before[partner][min(place, len(cut.documents[partner]))]
            expected.append(chunk_vector(infini, chunk, [donated] * len(chunk)))
    assert through.other is not None
    np.testing.assert_allclose(through.other, expected, atol=2e-5)
    alone = read_through(infini, cut, empty, None, ignored).own
    np.testing.assert_allclose(through.own, alone, atol=2e-5)
    later = [row for d, row in enumerate(cut.starts[:-1]) if len(cut.documents[d]) > 1]
    assert np.abs(through.other - through.own)[[row + 1 for row in later]].max() > 1e-3


def test_documents_may_begin_with_what_was_read_before(infini: Variant, cut: Cut):
    start = histories(infini, cut)[3][-1]
    through = read_through(infini, cut, start, None, ignored)
    expected = chunk_vector(infini, cut.documents[2][0], [start])
    np.testing.assert_allclose(through.own[cut.starts[2]], expected, atol=2e-5)


def test_an_empty_memory_for_every_segment_is_no_memory(base: Variant, infini: Variant, cut: Cut):
    empty = infini.encoder.empty_memory()
    off = read_apart(infini, cut, lambda _d, _p: empty, ignored)
    alone = read_apart(base, cut, None, ignored)
    np.testing.assert_allclose(off, alone, atol=2e-6)
    segments = cut.documents[0][1]
    assert len(segments) == 2  # the end of a long chunk counts, also without memory
    np.testing.assert_allclose(alone[1], chunk_vector(base, segments, [None, None]), atol=2e-5)


def test_each_segment_gets_the_memory_of_its_place(infini: Variant, cut: Cut):
    before = histories(infini, cut)
    asked: list[tuple[int, int]] = []

    def memory_of(document: int, place: int) -> Memory:
        asked.append((document, place))
        return before[document][-1]

    found = read_apart(infini, cut, memory_of, ignored)
    segments = [sum(len(chunk) for chunk in chunks) for chunks in cut.documents]
    assert asked == [(d, place) for d, count in enumerate(segments) for place in range(count)]
    last = cut.documents[0][3]
    np.testing.assert_allclose(
        found[3], chunk_vector(infini, last, [before[0][-1]] * len(last)), atol=2e-5
    )


def test_steps_are_full_and_hold_every_segment_once():
    segments = [Segment((0,) * length) for length in (5, 30, 7, 12, 7, 50, 3)]
    steps = list(full_steps(segments, 40))
    assert sorted(i for step in steps for i in step) == list(range(len(segments)))
    assert steps == [[5], [1], [3, 2, 4, 0, 6]]


def test_all_tokens_are_told(infini: Variant, cut: Cut):
    told: list[int] = []
    read_through(infini, cut, infini.encoder.empty_memory(), PARTNERS, told.append)
    assert sum(told) == 2 * cut.tokens


def test_vectors_that_are_not_finite_are_refused(base: Variant, cut: Cut):
    with torch.no_grad():
        base.encoder.embeddings.tokens.weight[3:].fill_(float("nan"))
    with pytest.raises(EvaluationError, match="model multi-head: a vector is not finite"):
        read_apart(base, cut, None, ignored)
