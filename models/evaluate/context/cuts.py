"""Documents in chunks, chunks in segments; and the same tokens cut in other ways."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.evaluate.data import RetrievalSet
from models.packing import Segment
from models.tokenizer import Tokenizer

OVERLAP: Final = 0.2
"""Part of a window that lies in what came before: in use are 10 to 20 %."""


@dataclass(frozen=True)
class Cut:
    """What is read of some documents: all of it.

    Attributes:
        documents: For each document its chunks in reading order, each in the segments it has; at least one.
    """

    documents: tuple[tuple[tuple[Segment, ...], ...], ...]

    @classmethod
    def of(cls, tokenizer: Tokenizer, documents: Sequence[Sequence[str]]) -> "Cut":
        """Cut texts with a model's own tokenizer."""
        texts = tokenizer.segments([text for document in documents for text in document])
        bounds = [0, *accumulate(len(document) for document in documents)]
        return cls(tuple(tuple(map(tuple, texts[start:end])) for start, end in pairwise(bounds)))

    @cached_property
    def starts(self) -> list[int]:
        """Row of each document's first chunk, chunks of all documents in one row; ends with their number."""
        return [0, *accumulate(len(chunks) for chunks in self.documents)]

    @cached_property
    def lengths(self) -> NDArray[np.float32]:
        """Tokens of each chunk, CLS and SEP of its segments included; *shape* (chunks,)."""
        chunks = [chunk for document in self.documents for chunk in document]
        return np.array([sum(len(segment.ids) for segment in c) for c in chunks], np.float32)

    @property
    def tokens(self) -> int:
        """Tokens to be computed."""
        return int(self.lengths.sum(dtype=np.int64))

    @property
    def content_tokens(self) -> int:
        """Tokens of the texts themselves."""
        return sum(len(content(chunk)) for chunks in self.documents for chunk in chunks)


def content(chunk: Sequence[Segment]) -> list[int]:
    """Return a chunk's token ids without CLS and SEP."""
    return [token for segment in chunk for token in segment.ids[1:-1]]


def overlapping(tokenizer: Tokenizer, cut: Cut, share: float = OVERLAP) -> Cut:
    """Move each chunk's window back into what came before, at an unchanged number of tokens.

    Overlapping windows as they are usual: one begins with the tail of what came before. At equal tokens its own end
    falls to the next window. A document's first chunk stays as it is.

    Args:
        tokenizer: That the documents were cut with.
        cut: The documents.
        share: Part of a window's tokens that come from before; fewer where there are fewer.
    """
    return Cut(tuple(tuple(_shifted(tokenizer, chunks, share)) for chunks in cut.documents))


def _shifted(
    tokenizer: Tokenizer, chunks: Sequence[Sequence[Segment]], share: float
) -> list[tuple[Segment, ...]]:
    texts = [content(chunk) for chunk in chunks]
    stream = [token for text in texts for token in text]
    starts = accumulate((len(text) for text in texts), initial=0)
    windows = []
    for start, text in zip(starts, texts, strict=False):
        begin = max(0, start - round(share * len(text)))
        windows.append(tuple(tokenizer.cut(stream[begin : begin + len(text)])))
    return windows


def with_titles(tokenizer: Tokenizer, data: RetrievalSet) -> Cut | None:
    """Put each document's title and a full stop before each of its chunks; None if no document has a title."""
    if not any(data.titles):
        return None
    return Cut.of(
        tokenizer,
        [
            [f"{title}. {text}" if title else text for text in chunks]
            for title, chunks in zip(data.titles, data.documents, strict=True)
        ],
    )
