"""One step: the segments that were chosen, packed into one forward pass."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from models.encoder import Encoder
from models.memory import Memory
from models.packing import Segment
from service.engine.results import SegmentResult
from service.failpoints import reach


@dataclass(frozen=True, slots=True, eq=False)
class Waiting:
    """A segment that waits for its step.

    Attributes:
        segment: Its tokens.
        memory: What it reads and writes.
        keep_tokens: Whether its token vectors are wanted too.
        keep_memory: Whether the memory afterwards is wanted.
        done: Gets its result.
        since: `time.monotonic()` from which on it has waited.
    """

    segment: Segment
    memory: Memory | None
    keep_tokens: bool
    keep_memory: bool
    done: asyncio.Future[SegmentResult]
    since: float


def forward(encoder: Encoder, step: Sequence[Waiting], begun: float) -> list[SegmentResult]:
    """Encode a step's segments, on the compute thread.

    Args:
        encoder: The model.
        step: The segments, each of a sequence of its own.
        begun: `time.monotonic()` when the step began.
    """
    segments = [waiting.segment for waiting in step]
    with torch.inference_mode():
        output = encoder(segments, _memories(encoder, step))
        totals = output.sums.cpu().numpy()
        kept = _kept_tokens(step, output.tokens.cpu().numpy())
    reach("engine.step")
    infer_s = time.monotonic() - begun
    after = output.memories or [None] * len(step)
    return [
        SegmentResult(
            total,
            len(waiting.segment.ids),
            memory if waiting.keep_memory else None,
            begun - waiting.since,
            infer_s,
            vectors,
        )
        for waiting, total, memory, vectors in zip(step, totals, after, kept, strict=True)
    ]


def _memories(encoder: Encoder, step: Sequence[Waiting]) -> list[Memory] | None:
    """Return what segments are read with; None where no memory is to be read or kept."""
    used = any(one.keep_memory or (one.memory and one.memory.tokens_seen) for one in step)
    if not used and not encoder.layers_write:
        return None
    return [waiting.memory for waiting in step if waiting.memory is not None] or None


def _kept_tokens(
    step: Sequence[Waiting], tokens: NDArray[np.float32]
) -> list[NDArray[np.float32] | None]:
    """Copy the rows that were asked for: a view of them would keep the whole step's alive."""
    kept, start = [], 0
    for waiting in step:
        stop = start + len(waiting.segment.ids)
        kept.append(tokens[start:stop].copy() if waiting.keep_tokens else None)
        start = stop
    return kept
