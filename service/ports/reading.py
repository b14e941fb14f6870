"""What a model is asked beside texts and sessions of its own: states that others keep, and what a session remembers."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.ports.values import ChunkAnswer, StageTimes


@dataclass(frozen=True, slots=True)
class ReadCommand:
    """Chunks of a document that no session keeps.

    Attributes:
        chunks: Texts, in reading order.
        state: What was read before, encoded; None begins a document.
        next_seq: Chunks read before.
        fingerprint: Fingerprint of the model that read them; None where nothing was read.
        want_state: Whether to return the state afterwards.
        admitted: Whether it goes on with a request that was let in, and is not refused for what else waits.
    """

    chunks: tuple[str, ...]
    state: bytes | None = None
    next_seq: int = 0
    fingerprint: str | None = None
    want_state: bool = True
    admitted: bool = False


@dataclass(frozen=True, slots=True)
class ReadResult:
    """Chunks that were read, and the state afterwards.

    Attributes:
        answers: One per chunk, in order; none is replayed.
        next_seq: Chunks read so far.
        tokens: Content tokens read so far.
        state: What has been read, encoded; empty unless wanted.
        document: Running document vector, float32, unit length; zeros before the first token.
        times: Where the time went, summed over the chunks.
        read_tokens: Tokens encoded, CLS and SEP of every segment included.
    """

    answers: tuple[ChunkAnswer, ...]
    next_seq: int
    tokens: int
    state: bytes
    document: NDArray[np.float32]
    times: StageTimes
    read_tokens: int


@dataclass(frozen=True, slots=True)
class MemoryCommand:
    """A session whose memory is to be described.

    Attributes:
        tenant: Owner of the session.
        session_id: The session.
    """

    tenant: str
    session_id: str


@dataclass(frozen=True, slots=True)
class PartFigures:
    """What is in one part of a memory, per layer and head where it has these axes.

    Attributes:
        name: The part's name, with its owner's before a point unless that is the attention.
        shape: Its shape.
        axes: Names of the axes that `norm` keeps: `layer` and `head`, `head`, or none.
        norm: Euclidean (of a matrix Frobenius) norm over the other axes, float32.
        effective_rank: Of a matrix: exp of the entropy of its singular values' shares (Roy and Vetterli, 2007), from 1
            for one direction to its smaller side; 0 while it is zero. None of a part that is no matrix.
        saturation: Of a matrix: the share of its energy in its first direction, in [0, 1]; near 1 every read returns
            the same. 0 while it is zero. None likewise.
    """

    name: str
    shape: tuple[int, ...]
    axes: tuple[str, ...]
    norm: NDArray[np.float32]
    effective_rank: NDArray[np.float32] | None
    saturation: NDArray[np.float32] | None


@dataclass(frozen=True, slots=True)
class MemoryResult:
    """What a session's memory holds, as of one moment.

    Attributes:
        next_seq: Chunks read by then.
        etag: Entity tag of the session then, without quotes.
        tokens_seen: Content tokens written.
        nbytes: Size of all parts, whatever was read.
        layers: Which layers of the model have a memory: what the axis `layer` counts.
        gates: Share of each head's output that is taken from memory, in [0, 1], *shape* (layers, heads); None where the
            attention has no memory.
        parts: What each part holds.
        segments: Segments its reader has read; None without a reader.
        numbers: About how many numbers its recall head keeps: the weights they were written with, summed; None without
            one.
        times: Where the time went.
    """

    next_seq: int
    etag: str
    tokens_seen: int
    nbytes: int
    layers: tuple[int, ...]
    gates: NDArray[np.float32] | None
    parts: tuple[PartFigures, ...]
    segments: int | None
    numbers: float | None
    times: StageTimes
