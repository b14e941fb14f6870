"""Reading a step's documents in order, each through a memory of its own, with gradients through all of it."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from models.encoder import Encoder
from models.fit.context.draws import Reading
from models.packing import Segment
from models.tokenizer import Tokenizer

Placed = list[tuple[Segment, int | None]]
"""Segments in reading order, each with its chunk's place; None for what is read and not ranked."""


def read_together(
    encoder: Encoder, tokenizer: Tokenizer, readings: Sequence[Reading]
) -> Float[Tensor, "c d"]:
    """Return the vectors of all chunks, unit length, document after document.

    The i-th segments of all documents are one batch; memories are handed on with their history, so that a later
    chunk's loss reaches what an earlier one wrote.
    """
    placed, chunks = [], 0
    for reading in readings:
        placed.append(_segments(tokenizer, reading, chunks))
        chunks += len(reading.span.chunks)
    memories = [encoder.empty_memory() for _ in readings]
    sums, owners = [], []
    for turn in range(max(map(len, placed))):
        active = [i for i, segments in enumerate(placed) if turn < len(segments)]
        output = encoder([placed[i][turn][0] for i in active], [memories[i] for i in active])
        for i, memory in zip(active, output.memories or (), strict=True):
            memories[i] = memory
        for row, i in enumerate(active):
            owner = placed[i][turn][1]
            if owner is not None:
                sums.append(output.sums[row].float())
                owners.append(owner)
    return whole_chunks(torch.stack(sums), owners, chunks)


def whole_chunks(
    sums: Float[Tensor, "s d"], owners: Sequence[int], chunks: int
) -> Float[Tensor, "c d"]:
    """Return chunk vectors, unit length, from the sums of their segments."""
    owner = torch.tensor(owners, device=sums.device)
    whole = sums.new_zeros(chunks, sums.shape[-1]).index_add(0, owner, sums)
    return F.normalize(whole, dim=-1)


@torch.no_grad()
def read_alone(
    encoder: Encoder, tokenizer: Tokenizer, texts: Sequence[str]
) -> Float[Tensor, "q d"]:
    """Return the vectors of texts, unit length, each segment with an empty memory."""
    placed = [
        (segment, place)
        for place, segments in enumerate(tokenizer.segments(texts))
        for segment in segments
    ]
    placed.sort(
        key=lambda found: len(found[0].ids)
    )  # neighbours of one length are one call a layer
    output = encoder([segment for segment, _ in placed], [encoder.empty_memory() for _ in placed])
    return whole_chunks(output.sums.float(), [place for _, place in placed], len(texts))


def _segments(tokenizer: Tokenizer, reading: Reading, first: int) -> Placed:
    before = [chunk for span in reading.before for chunk in span.chunks]
    placed: Placed = [
        (segment, None) for segments in tokenizer.segments(before) for segment in segments
    ]
    for place, segments in enumerate(tokenizer.segments(reading.span.chunks), first):
        placed += [(segment, place) for segment in segments]
    return placed
