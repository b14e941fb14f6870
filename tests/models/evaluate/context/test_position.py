from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch

from models.evaluate import RetrievalSet, Variant
from models.evaluate.context import ContextPlan
from models.evaluate.context.bench import Bench
from models.evaluate.context.cuts import Cut
from models.evaluate.context.position import (
    memories_after,
    other_segments,
    position_gains,
    sample,
    subset,
)
from models.evaluate.context.reading import read_apart, read_through
from models.evaluate.metrics import retrieval
from models.packing import Segment
from tests.models.evaluate.context.conftest import bench_of


def ignored(_tokens: int) -> None:
    """Nobody looks on."""


def test_the_sample_is_of_reported_documents_and_leaves_one(plan: ContextPlan, bench: Bench):
    assert sample(bench) == [0, 3]
    one = replace(bench, plan=replace(plan, sample=1))
    assert len(sample(one)) == 1
    everything = replace(bench, plan=replace(plan, half="all"))
    assert len(sample(everything)) == 3
    others = set(other_segments_of(everything))
    assert others == set(bench.cut.documents[left_over(everything)][0][0].ids)


def left_over(bench: Bench) -> int:
    [document] = set(range(4)) - set(sample(bench))
    return document


def other_segments_of(bench: Bench) -> tuple[int, ...]:
    """Return the tokens of the first segment read before the sample."""
    return next(other_segments(bench, sample(bench))).ids


def test_others_are_read_again_and_again(bench: Bench):
    of_others = [segment for d in (1, 2) for chunk in bench.cut.documents[d] for segment in chunk]
    twice = list(islice(other_segments(bench, [0, 3]), 2 * len(of_others)))
    assert twice[: len(of_others)] == twice[len(of_others) :]
    assert sorted(s.ids for s in twice[: len(of_others)]) == sorted(s.ids for s in of_others)


def test_a_subset_keeps_queries_with_their_chunks(bench: Bench, garden: RetrievalSet):
    data = subset(bench, [0, 3])
    assert data.documents == (garden.documents[0], garden.documents[3])
    assert data.doc_ids == ("bees", "volcano")
    texts = [text for chunks in data.documents for text in chunks]
    everything = [text for chunks in garden.documents for text in chunks]
    expected = [query for query in garden.queries if query.document in (0, 3)]
    assert len(data.queries) == len(expected) == 6
    for ours, query in zip(data.queries, expected, strict=True):
        assert ours.text == query.text
        assert [texts[chunk] for chunk in ours.gold] == [everything[chunk] for chunk in query.gold]
    assert subset(bench, [1, 3]).queries == tuple(
        replace(query, document=1, gold=tuple(g - 6 for g in query.gold))
        for query in expected
        if query.document == 3
    )


def test_memories_are_those_of_one_long_reading(infini: Variant):
    segments = [Segment((0, *range(3, 3 + length), 1)) for length in (4, 9, 5, 7)]
    told: list[int] = []
    found = list(memories_after(infini, iter(segments), (0, 5, 13, 14), told.append))
    assert [tokens for tokens, _ in found] == [0, 13, 13, 18]
    assert [memory.tokens_seen for _, memory in found] == [0, 13, 13, 18]
    assert sum(told) == 18
    memory = infini.encoder.empty_memory()
    for segment in segments[:3]:
        [memory] = infini.encoder([segment], [memory]).memories or []
    for name, part in found[-1][1].parts.items():
        torch.testing.assert_close(part, memory.parts[name])


def test_gains_are_those_of_documents_read_after_others(plan: ContextPlan, garden: RetrievalSet):
    bench = bench_of(replace(plan, positions=(0, 150)), garden)
    [model] = plan.models
    alone = read_apart(plan.base, bench.cut, None, ignored)
    start, far = position_gains(bench, model, alone)
    assert (start.tokens, start.documents, start.queries) == (0, 2, 6)
    assert 150 <= far.tokens < 150 + 38
    cut = Cut((bench.cut.documents[0], bench.cut.documents[3]))
    data = subset(bench, [0, 3])
    kept = np.isin(garden.query_documents, [0, 3])
    queries = bench.queries[kept]
    for at, position in ((start, 0), (far, 150)):
        [(_, memory)] = memories_after(model, other_segments(bench, [0, 3]), (position,), ignored)
        own = retrieval(data, queries, read_through(model, cut, memory, None, ignored).own)
        without = retrieval(data, queries, alone[[0, 1, 2, 9, 10, 11]])
        for metric, gain in at.gain.items():
            assert gain.value == pytest.approx((own[metric] - without[metric]).mean())
