"""Evaluation sets as values."""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Query:
    """A question with its answer's place.

    Attributes:
        text: The question.
        document: Index of the document that answers it.
        gold: Indices of the chunks that answer it, counted over the chunks of all documents; at least one, all of
            its document.
        family: What kind of question it is; None where its set has but one kind.
        distance: Chunks between the answer and what it needs to be understood; None where that is not known.
    """

    text: str
    document: int
    gold: tuple[int, ...]
    family: str | None = None
    distance: int | None = None


@dataclass(frozen=True)
class RetrievalSet:
    """Documents in chunks, and queries that some of the chunks answer.

    Attributes:
        name: How the report calls it.
        documents: The chunks of each document, in reading order.
        queries: At least one.
        sources: Hash of each file it was read from.
        doc_ids: Name of each document; empty if it was not read from files.
        titles: Title of each document, "" where it has none; likewise.
    """

    name: str
    documents: tuple[tuple[str, ...], ...]
    queries: tuple[Query, ...]
    sources: dict[str, str] = field(default_factory=dict)
    doc_ids: tuple[str, ...] = ()
    titles: tuple[str, ...] = ()

    @cached_property
    def chunk_documents(self) -> NDArray[np.int64]:
        """Document of each chunk, chunks of all documents in one row; *shape* (chunks,)."""
        return np.repeat(np.arange(len(self.documents)), [len(chunks) for chunks in self.documents])

    @cached_property
    def query_documents(self) -> NDArray[np.int64]:
        """Document of each query; *shape* (queries,)."""
        return np.array([query.document for query in self.queries], dtype=np.int64)


@dataclass(frozen=True)
class SentencePairs:
    """Sentence pairs with the similarity that people saw (STS benchmark, arXiv 1708.00055).

    Attributes:
        name: How the report calls it.
        first: One sentence of each pair.
        second: The other one.
        scores: Similarity, larger is more alike; *shape* (pairs,).
        sources: Hash of the file it was read from.
    """

    name: str
    first: tuple[str, ...]
    second: tuple[str, ...]
    scores: NDArray[np.float64]
    sources: dict[str, str] = field(default_factory=dict)
