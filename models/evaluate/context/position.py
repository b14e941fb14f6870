"""How a memory fares far into a session: the same documents after more and more of others."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import cycle

import numpy as np
import torch

from models.evaluate.context.bench import Bench
from models.evaluate.context.cuts import Cut
from models.evaluate.context.draws import generator
from models.evaluate.context.estimates import Estimator
from models.evaluate.context.halves import queries_of
from models.evaluate.context.reading import Advance, Vectors, read_through
from models.evaluate.context.report import PositionGain
from models.evaluate.data import Query, RetrievalSet
from models.evaluate.metrics import retrieval
from models.evaluate.variant import Variant
from models.memory import Memory
from models.packing import Segment


def position_gains(bench: Bench, model: Variant, alone: Vectors) -> list[PositionGain]:
    """Rank a sample of documents among themselves, each read after so many tokens of other documents.

    What comes before is read once, and its memory is where all documents of the sample begin.

    Args:
        bench: The set.
        model: With memory.
        alone: The base's vectors of all chunks of the set.

    Raises:
        EvaluationError: a vector is not finite.
    """
    chosen = sample(bench)
    data = subset(bench, chosen)
    rows = [row for d in chosen for row in range(bench.cut.starts[d], bench.cut.starts[d + 1])]
    kept = np.isin(bench.data.query_documents, chosen) & queries_of(bench.data, bench.plan.half)
    queries = bench.queries[kept]
    estimator = Estimator(data, "all", bench.plan.resampling)
    without = retrieval(data, queries, alone[rows])
    cut = Cut(tuple(bench.cut.documents[d] for d in chosen))
    positions = bench.plan.positions
    advance = bench.begin(f"{model.id}, by position", cut.tokens * len(positions) + max(positions))
    gains = []
    for tokens, memory in memories_after(model, other_segments(bench, chosen), positions, advance):
        vectors = read_through(model, cut, memory, None, advance).own
        gain = estimator.gain(retrieval(data, queries, vectors), without, estimator.kept)
        gains.append(PositionGain(tokens, len(chosen), len(data.queries), gain))
    return gains


def sample(bench: Bench) -> list[int]:
    """Draw documents that reported queries are about, and leave at least one document of the set."""
    asked = np.unique(bench.data.query_documents[queries_of(bench.data, bench.plan.half)])
    count = min(bench.plan.sample, len(bench.data.documents) - 1)
    drawn = generator(bench.data.name, "sample", bench.seed).permutation(asked)[:count]
    return sorted(drawn.tolist())


def subset(bench: Bench, chosen: Sequence[int]) -> RetrievalSet:
    """Return the chosen documents as a set of their own, with their reported queries."""
    data = bench.data
    kept = queries_of(data, bench.plan.half)
    bounds, queries = bench.cut.starts, []
    shift: dict[int, tuple[int, int]] = {}
    total = 0
    for place, document in enumerate(chosen):
        shift[document] = (place, total - bounds[document])
        total += len(data.documents[document])
    for query, counts in zip(data.queries, kept, strict=True):
        if counts and query.document in shift:
            place, by = shift[query.document]
            queries.append(replace(query, document=place, gold=tuple(g + by for g in query.gold)))
    return replace(
        data,
        documents=tuple(data.documents[d] for d in chosen),
        queries=tuple[Query, ...](queries),
        doc_ids=tuple(data.doc_ids[d] for d in chosen),
        titles=tuple(data.titles[d] for d in chosen) if data.titles else (),
    )


def other_segments(bench: Bench, chosen: Sequence[int]) -> Iterator[Segment]:
    """Yield the segments of all other documents, in an order of chance, again and again."""
    others = [d for d in range(len(bench.cut.documents)) if d not in set(chosen)]
    order = generator(bench.data.name, "before", bench.seed).permutation(others).tolist()
    for document in cycle(order):
        yield from (segment for chunk in bench.cut.documents[document] for segment in chunk)


def memories_after(
    model: Variant, segments: Iterator[Segment], positions: Sequence[int], advance: Advance
) -> Iterator[tuple[int, Memory]]:
    """Read on and on; yield the tokens read and the memory when each position is reached.

    Args:
        model: With memory.
        segments: What is read; it must not end before the last position.
        positions: In tokens without CLS and SEP, ascending.
        advance: Is told the tokens of each step.
    """
    memory, read = model.encoder.empty_memory(), 0
    for position in positions:
        while read < position:
            segment = next(segments)
            with torch.inference_mode():
                [memory] = model.encoder([segment], [memory]).memories or [memory]
            read += segment.content_tokens
            advance(segment.content_tokens)
        yield read, memory
