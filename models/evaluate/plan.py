"""What an evaluation reads and compares."""

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.evaluate.bootstrap import Resampling
from models.evaluate.data import RetrievalSet, SentencePairs
from models.evaluate.errors import EvaluationError

QUERIES: Final = "queries"
CHUNKS: Final = "chunks"
SENTENCES: Final = "sentences"
SPEED_ROUNDS: Final = 5


@dataclass(frozen=True)
class Part:
    """Texts that are read in one go.

    Attributes:
        data: Name of the set they are of.
        kind: `QUERIES`, `CHUNKS` or `SENTENCES`.
        documents: Texts of each document in reading order; a text that stands alone is a document of one.
        clusters: What each text depends on, a document or a sentence pair of its set; texts of all documents in one
            row, *shape* (texts,).
    """

    data: str
    kind: str
    documents: tuple[tuple[str, ...], ...]
    clusters: NDArray[np.int64]


@dataclass(frozen=True)
class Plan:
    """What an evaluation reads and compares.

    Attributes:
        sets: Retrieval sets.
        pairs: Sentence pairs, or None.
        teacher: Id of the variant that the others are meant to agree with.
        baselines: Ids of the variants that differences are stated to.
        resampling: For intervals.
        speed_rounds: How often speed is measured; 0 leaves it out.

    Raises:
        EvaluationError: there is nothing to read, or two sets share a name.
    """

    sets: tuple[RetrievalSet, ...]
    pairs: SentencePairs | None
    teacher: str
    baselines: tuple[str, ...]
    resampling: Resampling
    speed_rounds: int = SPEED_ROUNDS

    def __post_init__(self) -> None:
        names = [data.name for data in (*self.sets, self.pairs) if data is not None]
        if not names:
            raise EvaluationError(
                "there is nothing to evaluate on: no retrieval set, no sentence pairs"
            )
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise EvaluationError(f"evaluation sets named more than once: {', '.join(twice)}")

    @cached_property
    def parts(self) -> tuple[Part, ...]:
        """All texts of the run."""
        parts = []
        for data in self.sets:
            queries = tuple((query.text,) for query in data.queries)
            parts.append(Part(data.name, QUERIES, queries, data.query_documents))
            parts.append(Part(data.name, CHUNKS, data.documents, data.chunk_documents))
        if self.pairs is not None:
            sentences = tuple((text,) for text in self.pairs.first + self.pairs.second)
            both = np.tile(np.arange(len(self.pairs.first)), 2)
            parts.append(Part(self.pairs.name, SENTENCES, sentences, both))
        return tuple(parts)
