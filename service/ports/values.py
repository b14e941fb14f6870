"""What every encoder call takes and gives: plain values that cross process boundaries."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What a client may know of a served model.

    Attributes:
        id: Name clients call it by.
        attention: Key of `models.variants.variants()`.
        dimensions: Width of its vectors.
        max_chunk_tokens: Window of one segment, CLS and SEP included.
        memory_bytes: Size of a session's memory; 0 for a stateless variant.
        fingerprint: sha256 over the configuration and every weight tensor.
        base: Name of the shared frozen base.
        checkpoint: Name of the adapter, or None where the variant needs none.
        evaluation: Figures of its card.
    """

    id: str
    attention: str
    dimensions: int
    max_chunk_tokens: int
    memory_bytes: int
    fingerprint: str
    base: str
    checkpoint: str | None = None
    evaluation: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StageTimes:
    """Seconds a request spent in each stage (`Server-Timing`)."""

    tokenize: float = 0.0
    queue: float = 0.0
    infer: float = 0.0
    persist: float = 0.0

    def __add__(self, other: "StageTimes") -> "StageTimes":
        return StageTimes(
            self.tokenize + other.tokenize,
            self.queue + other.queue,
            self.infer + other.infer,
            self.persist + other.persist,
        )


@dataclass(frozen=True, slots=True)
class EmbedResult:
    """Vectors of stateless texts.

    Attributes:
        vectors: float32, (texts, dimensions), unit length.
        tokens: Content tokens plus CLS and SEP of every segment that was encoded.
        truncated_tokens: Content tokens dropped because the caller opted in; 0 otherwise.
        times: Where the time went.
    """

    vectors: NDArray[np.float32]
    tokens: int
    truncated_tokens: int
    times: StageTimes


@dataclass(frozen=True, slots=True)
class AppendCommand:
    """Chunks to read into a session.

    Attributes:
        tenant: Owner of the session.
        session_id: The session.
        chunks: Texts, in reading order; at least one.
        first_seq: Sequence number of the first chunk; None lets the server assign.
        if_match: Entity tags of which the session must still have one, quotes removed; `*` stands for any, None for no
            condition. It is about the session before the request: a replay is answered whatever it says, and so is the
            rest of a request that failed half way if its key is sent again.
        idempotency_key: Key that pins the sequence number of a request without `first_seq`; kept with the first chunk
            that the request commits.
        want_document: Whether to return the running document vector too.
        key_moves: Whether the key stands for the last request with it, not the first: a stream has one key, and of its
            appends only the last is ever sent again. Stored chunks are such a request's only if its key says so, and
            from the second on it has a number.
    """

    tenant: str
    session_id: str
    chunks: tuple[str, ...]
    first_seq: int | None = None
    if_match: tuple[str, ...] | None = None
    idempotency_key: str | None = None
    want_document: bool = False
    key_moves: bool = False


@dataclass(frozen=True, slots=True)
class ChunkAnswer:
    """What one chunk came back as.

    Attributes:
        seq: Position of the chunk in its session, from 0.
        embedding: float32, (dimensions,), unit length.
        tokens: Content tokens of the chunk (CLS and SEP not counted).
        token_start: Content tokens of the session before this chunk.
        replayed: True if this is the stored answer of an earlier append.
    """

    seq: int
    embedding: NDArray[np.float32]
    tokens: int
    token_start: int
    replayed: bool


@dataclass(frozen=True, slots=True)
class AppendResult:
    """Answers of one append, every one of them durable.

    Attributes:
        answers: One per chunk of the command, in order.
        next_seq: Sequence number the session expects now.
        etag: Entity tag of the session now, without quotes.
        document: Running document vector, float32, unit length, zeros before the first token; None unless wanted.
        times: Where the time went, summed over the chunks.
    """

    answers: tuple[ChunkAnswer, ...]
    next_seq: int
    etag: str
    document: NDArray[np.float32] | None
    times: StageTimes
