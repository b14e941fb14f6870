"""Which documents, which part of each, and which queries make a training step."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from models.errors import FitError
from models.evaluate.data import Query, RetrievalSet

FROM_THE_START: Final = 0.8
"""Share of documents that are read from their beginning; the others lack what names their topic."""
QUERIES_PER_DOCUMENT: Final = 12
FEWEST_CHUNKS: Final = 3


@dataclass(frozen=True, slots=True)
class Span:
    """Neighbouring chunks of a document.

    Attributes:
        document: Its index in the set.
        start: First chunk, counted in the document.
        chunks: Texts.
    """

    document: int
    start: int
    chunks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Reading:
    """Part of a document, to be read in order with a memory of its own.

    Attributes:
        span: What is read and ranked.
        before: Parts of other documents that are read first, end to end; none for most.
        queries: Texts of questions that the span answers.
        gold: For each of them, places of the answers in the span.
    """

    span: Span
    before: tuple[Span, ...]
    queries: tuple[str, ...]
    gold: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class Before:
    """What is read before a document: the memory of it has to give way.

    Attributes:
        share: Of documents, those that others are read before.
        documents: Most of them.
    """

    share: float = 0.25
    documents: int = 1


ANOTHER: Final = Before()
"""One other document, now and then."""


@dataclass(frozen=True, slots=True)
class Draw:
    """What a step trains on: parts of documents of one set, so that telling them apart is not too easy.

    Attributes:
        name: Name of the set.
        readings: One per document.
    """

    name: str
    readings: tuple[Reading, ...]


class Draws:
    """Draws steps; a step depends on the seed and its number alone.

    Args:
        sets: Training sets.
        weights: How often a set is drawn, by name; 1 for those not named.
        documents: Documents of a step.
        chunks: Most chunks of a part.
        seed: Seed of all draws.
        before: What is read before documents.

    Raises:
        FitError: no set has enough documents with queries for a step.
    """

    def __init__(
        self,
        sets: Sequence[RetrievalSet],
        weights: Mapping[str, float],
        documents: int,
        chunks: int,
        seed: int,
        before: Before = ANOTHER,
    ) -> None:
        self._sets = [kept for data in sets if len((kept := _Set(data)).usable) >= documents]
        if not self._sets:
            raise FitError(
                f"no set has {documents} documents of {FEWEST_CHUNKS} chunks with queries"
            )
        shares = np.array([weights.get(kept.data.name, 1.0) for kept in self._sets])
        self._shares = shares / shares.sum()
        self._documents, self._chunks, self._before_it = documents, chunks, before
        self.seed = seed

    @property
    def names(self) -> list[str]:
        """Names of the sets that are drawn from."""
        return [kept.data.name for kept in self._sets]

    def draw(self, step: int) -> Draw:
        """Return what a step trains on: at least one query, of at least one document."""
        draw = np.random.default_rng([self.seed, step])
        while True:  # it may happen that all parts miss what their documents are asked about
            kept = self._sets[draw.choice(len(self._sets), p=self._shares)]
            documents = draw.choice(kept.usable, self._documents, replace=False)
            readings = tuple(self._read(kept, int(index), draw) for index in documents)
            if any(reading.queries for reading in readings):
                return Draw(kept.data.name, readings)

    def _read(self, kept: "_Set", index: int, draw: np.random.Generator) -> Reading:
        chunks = kept.data.documents[index]
        start = 0
        if len(chunks) > self._chunks and draw.random() > FROM_THE_START:
            start = int(draw.integers(len(chunks) - self._chunks + 1))
        end = min(start + self._chunks, len(chunks))
        first = kept.first_chunk[index] + start
        found = []
        for query in kept.queries[index]:
            gold = tuple(g - first for g in query.gold if 0 <= g - first < end - start)
            if gold:
                found.append((query.text, gold))
        if len(found) > QUERIES_PER_DOCUMENT:
            chosen = draw.choice(len(found), QUERIES_PER_DOCUMENT, replace=False)
            found = [found[i] for i in sorted(chosen)]
        texts, golds = zip(*found, strict=True) if found else ((), ())
        before = self._before(kept, index, draw)
        return Reading(Span(index, start, chunks[start:end]), before, tuple(texts), tuple(golds))

    def _before(self, kept: "_Set", index: int, draw: np.random.Generator) -> tuple[Span, ...]:
        """Draw the ends of other documents, each shorter than half of the longest part, or nothing."""
        if draw.random() >= self._before_it.share:
            return ()
        most = self._before_it.documents
        count = 1 if most == 1 else int(draw.integers(1, most + 1))
        found = []
        for _ in range(count):
            other = int(draw.choice(kept.usable))
            if other != index:
                chunks = kept.data.documents[other]
                start = max(0, len(chunks) - int(draw.integers(1, max(2, self._chunks // 2))))
                found.append(Span(other, start, chunks[start:]))
        return tuple(found)


@dataclass(frozen=True)
class _Set:
    """A training set, with what is looked up in it at every step."""

    data: RetrievalSet

    @cached_property
    def first_chunk(self) -> list[int]:
        return [0, *np.cumsum([len(chunks) for chunks in self.data.documents]).tolist()]

    @cached_property
    def queries(self) -> list[list[Query]]:
        asked: list[list[Query]] = [[] for _ in self.data.documents]
        for query in self.data.queries:
            asked[query.document].append(query)
        return asked

    @cached_property
    def usable(self) -> list[int]:
        """Documents that are long enough and asked about."""
        return [
            index
            for index, chunks in enumerate(self.data.documents)
            if len(chunks) >= FEWEST_CHUNKS and self.queries[index]
        ]
