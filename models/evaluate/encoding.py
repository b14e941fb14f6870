"""Many texts to vectors, in full batches; the rules are the service's."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from models.encoder import Encoder
from models.evaluate.errors import EvaluationError
from models.evaluate.variant import Variant
from models.memory import Memory
from models.packing import Segment

STEP_TOKENS: Final = 2048
"""Most tokens packed into one forward pass."""


@dataclass(frozen=True)
class Encoded:
    """The vectors of some texts, in the texts' order.

    Attributes:
        vectors: At unit length; *shape* (texts, d).
        fresh: True where the vector is of the text alone: a variant with memory read it as one segment with nothing
            before it; *shape* (texts,).
        truncated_texts: Texts of which only the first segment was read.
        dropped_tokens: Tokens that were not read.
    """

    vectors: NDArray[np.float32]
    fresh: NDArray[np.bool_]
    truncated_texts: int
    dropped_tokens: int


@dataclass(frozen=True)
class Reading:
    """Documents cut for a variant: what is to be read, and what is left out.

    Attributes:
        sequences: Segments to be read in order through one memory each. Without memory each text is its own
            sequence, of its first segment.
        segment_counts: Segments of each text, texts of all documents in one row.
        fresh: See `Encoded`.
        truncated_texts: See `Encoded`.
        dropped_tokens: See `Encoded`.
    """

    sequences: list[list[Segment]]
    segment_counts: list[int]
    fresh: list[bool]
    truncated_texts: int
    dropped_tokens: int

    @property
    def tokens(self) -> int:
        """Tokens to be computed, CLS and SEP of each segment included."""
        return sum(len(segment.ids) for segments in self.sequences for segment in segments)


def plan_reading(variant: Variant, documents: Sequence[Sequence[str]]) -> Reading:
    """Cut documents into what the variant reads of them.

    A variant with memory reads the texts of a document in order and whole, beginning with an empty memory. One
    without reads the first segment of each text, as the service does with `"truncate": true`.

    Args:
        variant: The encoder.
        documents: Texts of each document in reading order; a text that stands alone is a document of one.
    """
    texts = variant.tokenizer.segments([text for document in documents for text in document])
    if not variant.encoder.has_memory:
        over = [sum(segment.content_tokens for segment in text[1:]) for text in texts]
        truncated = sum(dropped > 0 for dropped in over)
        alone = [text[:1] for text in texts]
        return Reading(alone, [1] * len(texts), [True] * len(texts), truncated, sum(over))
    bounds = [0, *accumulate(len(document) for document in documents)]
    first = set(bounds)
    return Reading(
        sequences=[
            [segment for text in texts[start:end] for segment in text]
            for start, end in pairwise(bounds)
        ],
        segment_counts=[len(text) for text in texts],
        fresh=[i in first and len(text) == 1 for i, text in enumerate(texts)],
        truncated_texts=0,
        dropped_tokens=0,
    )


def encode(
    variant: Variant,
    reading: Reading,
    advance: Callable[[int], None] = lambda _tokens: None,
    step_tokens: int = STEP_TOKENS,
) -> Encoded:
    """Read what was planned.

    A text's vector is the mean over all its token vectors, CLS and SEP of each segment included, at unit length.

    Args:
        variant: The encoder the reading was planned for.
        reading: What to read.
        advance: Is told the tokens of each step when they are computed.
        step_tokens: Most tokens of a step; a longer segment is a step of its own.

    Raises:
        EvaluationError: a vector is not finite.
    """
    sums = _read(variant.encoder, reading.sequences, step_tokens, advance)
    lengths = np.array(
        [len(segment.ids) for segments in reading.sequences for segment in segments], np.float32
    )
    starts = np.cumsum([0, *reading.segment_counts[:-1]])
    means = np.add.reduceat(sums, starts) / np.add.reduceat(lengths, starts)[:, None]
    return Encoded(
        vectors=unit_vectors(means, variant.id),
        fresh=np.array(reading.fresh),
        truncated_texts=reading.truncated_texts,
        dropped_tokens=reading.dropped_tokens,
    )


def unit_vectors(vectors: NDArray[np.floating], id_: str) -> NDArray[np.float32]:
    """Bring vectors to unit length; a vector of zeros stays one.

    Args:
        vectors: *shape* (texts, d).
        id_: Of the model, for the error.

    Raises:
        EvaluationError: a vector is not finite.
    """
    if not np.isfinite(vectors).all():
        raise EvaluationError(f"model {id_}: a vector is not finite; it cannot be evaluated")
    norms = np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    unit: NDArray[np.float32] = (vectors / norms).astype(np.float32)
    return unit


@dataclass(slots=True)
class _Open:
    """A sequence that is being read: its next segment, and the memory before it."""

    segments: list[Segment]
    first_row: int
    memory: Memory | None
    next: int = 0

    @property
    def row(self) -> int:
        return self.first_row + self.next


def _read(
    encoder: Encoder,
    sequences: Sequence[list[Segment]],
    step_tokens: int,
    advance: Callable[[int], None],
) -> NDArray[np.float32]:
    """Return the sums of all segments, in order; *shape* (segments, d)."""
    empty = encoder.empty_memory() if encoder.has_memory else None
    first_rows = [0, *accumulate(len(segments) for segments in sequences)]
    sums = np.empty((first_rows[-1], encoder.config.width), np.float32)
    waiting = deque(
        _Open(segments, row, empty)
        for segments, row in sorted(zip(sequences, first_rows, strict=False), key=_longest_first)
    )
    with torch.inference_mode():
        while waiting:
            step = _take(waiting, step_tokens)
            segments = [item.segments[item.next] for item in step]
            before = [item.memory for item in step if item.memory is not None]
            output = encoder(segments, before if encoder.has_memory else None)
            sums[[item.row for item in step]] = output.sums.float().cpu().numpy()
            for item, memory in zip(step, output.memories or [None] * len(step), strict=True):
                item.memory = memory
                item.next += 1
            # Those already begun go on first, so that few memories are held at a time.
            waiting.extendleft(item for item in reversed(step) if item.next < len(item.segments))
            advance(sum(len(segment.ids) for segment in segments))
    return sums


def _longest_first(item: tuple[list[Segment], int]) -> tuple[int, int, int]:
    """Order sequences so that a long one never remains alone, and segments of one length meet."""
    segments, row = item
    return -len(segments), -sum(len(segment.ids) for segment in segments), row


def _take(waiting: "deque[_Open]", step_tokens: int) -> list[_Open]:
    """Take sequences from the front while their next segments fit, at least one."""
    step: list[_Open] = []
    tokens = 0
    while waiting:
        tokens += len(waiting[0].segments[waiting[0].next].ids)
        if step and tokens > step_tokens:
            break
        step.append(waiting.popleft())
    return step
