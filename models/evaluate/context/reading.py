"""Chunks to vectors with whatever memory each is to be read with, in full batches.

All segments of a chunk count, here also of a model without memory: otherwise a memory would be credited with the ends
of long chunks.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from models.evaluate.context.cuts import Cut
from models.evaluate.context.layers import SharedLayers
from models.evaluate.encoding import STEP_TOKENS, unit_vectors
from models.evaluate.variant import Variant
from models.memory import Memory
from models.packing import Segment, full_steps

Vectors = NDArray[np.float32]
"""At unit length, chunks of all documents in one row; *shape* (chunks, d)."""
Advance = Callable[[int], None]
MemoryOf = Callable[[int, int], Memory]
"""From a document and a segment's place in it, counted from 0, to the memory it is read with."""


@dataclass(frozen=True, slots=True)
class Item:
    """A segment that is to be read.

    Attributes:
        chunk: Row of the chunk it belongs to.
        segment: Its tokens.
        memory: What it is read with; None for a model without memory.
    """

    chunk: int
    segment: Segment
    memory: Memory | None


@dataclass(frozen=True)
class Through:
    """Documents that were read in order.

    Attributes:
        own: Each chunk with the memory of what came before it.
        other: Each chunk with the memory that its document's partner had after as many chunks; None without partners.
        ends: Each document's memory after its last chunk.
    """

    own: Vectors
    other: Vectors | None
    ends: list[Memory]


class Reader:
    """Adds up token vectors by chunk.

    Args:
        variant: The model.
        cut: What is read.
        advance: Is told the tokens of each step when they are computed.
        layers: Where the model's layers need not be run again; None to run them.
    """

    def __init__(
        self, variant: Variant, cut: Cut, advance: Advance, layers: SharedLayers | None = None
    ) -> None:
        self._variant, self._advance = variant, advance
        served = layers is not None and layers.serve(variant.encoder)
        self._layers = layers if served else None
        self._lengths = cut.lengths
        self._sums = np.zeros((len(cut.lengths), variant.encoder.config.width), np.float32)

    def read(self, items: Sequence[Item], *, keep: bool = False) -> list[Memory]:
        """Read segments that do not wait for each other.

        Args:
            items: The segments.
            keep: Return each segment's memory after it, in their order; otherwise nothing is held.
        """
        encoder = self._variant.encoder
        kept: dict[int, Memory] = {}
        for step in full_steps([item.segment for item in items], STEP_TOKENS):
            chosen = [items[i] for i in step]
            before = [item.memory for item in chosen if item.memory is not None]
            segments = [item.segment for item in chosen]
            if self._layers is None:
                output = encoder(segments, before or None)
            else:
                output = self._layers.forward(encoder, segments, before or None)
            np.add.at(
                self._sums, [item.chunk for item in chosen], output.sums.float().cpu().numpy()
            )
            if keep and output.memories is not None:
                kept.update(zip(step, output.memories, strict=True))
            self._advance(sum(len(item.segment.ids) for item in chosen))
        return [kept[i] for i in sorted(kept)]

    def vectors(self) -> Vectors:
        """Return the mean over all tokens of each chunk, at unit length.

        Raises:
            EvaluationError: a vector is not finite.
        """
        return unit_vectors(self._sums / self._lengths[:, None], self._variant.id)


def read_apart(
    variant: Variant,
    cut: Cut,
    memory_of: MemoryOf | None,
    advance: Advance,
    layers: SharedLayers | None = None,
) -> Vectors:
    """Read every segment by itself, with a memory that is there from the start.

    Args:
        variant: The model.
        cut: What is read.
        memory_of: What each segment is read with; None for a model without memory.
        advance: Is told the tokens of each step.
        layers: Run once for all models that share them; None to run them each time.

    Raises:
        EvaluationError: a vector is not finite.
    """
    reader = Reader(variant, cut, advance, layers)
    items = []
    for document, chunks in enumerate(cut.documents):
        segments = [
            (row, s) for row, chunk in enumerate(chunks, cut.starts[document]) for s in chunk
        ]
        items += [
            Item(row, segment, None if memory_of is None else memory_of(document, place))
            for place, (row, segment) in enumerate(segments)
        ]
    with torch.inference_mode():
        reader.read(items)
    return reader.vectors()


def read_through(
    variant: Variant,
    cut: Cut,
    start: Memory,
    partners: Sequence[int] | None,
    advance: Advance,
    layers: SharedLayers | None = None,
) -> Through:
    """Read documents side by side, chunk by chunk, each through a memory of its own.

    Args:
        variant: A model with memory.
        cut: The documents.
        start: The memory each of them begins with.
        partners: For each document another one, whose memory its chunks are read with as well, all segments of a
            chunk with the same; its last one where the partner is shorter.
        advance: Is told the tokens of each step.
        layers: Run once for all models that share them; None to run them each time.

    Raises:
        EvaluationError: a vector is not finite.
    """
    own, other = (Reader(variant, cut, advance, layers) for _ in range(2))
    memories = [start] * len(cut.documents)
    with torch.inference_mode():
        for place in range(max(len(chunks) for chunks in cut.documents)):
            here = [d for d, chunks in enumerate(cut.documents) if place < len(chunks)]
            if partners is not None:
                other.read(
                    [
                        Item(cut.starts[d] + place, segment, memories[partners[d]])
                        for d in here
                        for segment in cut.documents[d][place]
                    ]
                )
            _read_chunks(own, cut, place, here, memories)
    return Through(own.vectors(), None if partners is None else other.vectors(), memories)


def _read_chunks(
    reader: Reader, cut: Cut, place: int, here: Sequence[int], memories: list[Memory]
) -> None:
    """Read one chunk of each document, segment after segment, and replace the documents' memories."""
    for depth in range(max(len(cut.documents[d][place]) for d in here)):
        going = [d for d in here if depth < len(cut.documents[d][place])]
        after = reader.read(
            [
                Item(cut.starts[d] + place, cut.documents[d][place][depth], memories[d])
                for d in going
            ],
            keep=True,
        )
        for document, memory in zip(going, after, strict=True):
            memories[document] = memory
