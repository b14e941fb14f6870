"""What the engine hands back."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.memory import Memory


@dataclass(frozen=True, slots=True)
class SegmentResult:
    """One encoded segment.

    Attributes:
        total: Sum of its token vectors, CLS and SEP included; float32, (d,).
        tokens: Tokens that went into the sum.
        memory: The sequence's memory after it; None for a variant without memory, and where it was not asked for.
        queue_s: Seconds until its step began.
        infer_s: Seconds its step took.
        token_vectors: Those token vectors, float32, (tokens, d); None unless asked for.
    """

    total: NDArray[np.float32]
    tokens: int
    memory: Memory | None
    queue_s: float
    infer_s: float
    token_vectors: NDArray[np.float32] | None = None


@dataclass(frozen=True, slots=True)
class SequenceResult:
    """Segments of one sequence, read one after the other.

    Attributes:
        total: Sum of all token vectors, CLS and SEP of each segment included; float64, (d,).
        tokens: Tokens that went into the sum.
        memory: The memory after the last segment.
        queue_s: Seconds spent waiting, all segments together.
        infer_s: Seconds of their steps.
        token_vectors: Those token vectors, segment after segment; float32, (tokens, d); None unless asked for.
    """

    total: NDArray[np.float64]
    tokens: int
    memory: Memory
    queue_s: float
    infer_s: float
    token_vectors: NDArray[np.float32] | None = None
