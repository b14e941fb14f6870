"""Sessions of sessions: forks, files, and sessions whose state the client keeps."""

from typing import Any, Final, Literal

from pydantic import Field, JsonValue

from service.schemas.base import (
    SESSION_ID_PATTERN,
    EncodingFormat,
    RequestModel,
    ResponseModel,
    Texts,
)
from service.schemas.sessions import (
    AppendedChunk,
    FirstSeq,
    ReturnMembers,
    RunningDocument,
    Session,
    TtlSeconds,
)

MOST_TOKEN_CHARACTERS: Final = 4 * 1024 * 1024
"""No token of any model is longer; a state of 416,804 bytes is one of 556 KB."""


class BegunSession(Session):
    """A session that was begun."""

    replayed: bool
    """True if an earlier request with the same `Idempotency-Key` began it."""


class ForkRequest(RequestModel):
    """A session that is to share the past of another."""

    id: str | None = Field(default=None, pattern=SESSION_ID_PATTERN)
    """Your own id; the server chooses one if it is left out."""
    at_seq: FirstSeq | None = None
    """How many chunks to share: those the session has read, which is the default, or a number after which its state is
    kept."""
    metadata: dict[str, JsonValue] | None = None
    """Any JSON object; the session's own if it is left out."""
    ttl_seconds: TtlSeconds | None = None
    """Seconds it lives after its last append; as the session it is forked from if left out."""


class StatelessSession(ResponseModel):
    """A session that is stored nowhere."""

    object: Literal["stateless_session"]
    model: str
    state_token: str
    """All of it, signed: send it with the next chunks."""
    expires_at: int
    """Unix time, seconds, from which the token is refused."""
    next_seq: int
    tokens: int


class StatelessRequest(RequestModel):
    """Chunks to read into a state that you keep, in order."""

    state_token: str = Field(max_length=MOST_TOKEN_CHARACTERS)
    """What the last answer gave you; it stays good, so a request may be repeated, and a token gone on from twice."""
    chunks: Texts
    members: ReturnMembers = Field(default=["embedding", "tokens"], alias="return")
    """What to answer with beside the sequence numbers."""
    encoding_format: EncodingFormat = "float"


class StatelessResponse(ResponseModel):
    """Answers, and the state after them."""

    object: Literal["stateless_append"]
    model: str
    chunks: list[AppendedChunk]
    next_seq: int
    tokens: int
    """Content tokens read so far."""
    state_token: str
    expires_at: int
    document: RunningDocument | None = None


class MemoryPart(ResponseModel):
    """What is in one part of a memory."""

    name: str
    """As the model calls it; `reader.` and `recall.` stand for parts above the attention."""
    shape: list[int]
    axes: list[Literal["layer", "head"]]
    """Axes of the figures below; none for a single number."""
    norm: Any = Field(json_schema_extra={"type": ["array", "number"]})
    """Euclidean norm over the other axes."""
    effective_rank: Any = Field(json_schema_extra={"type": ["array", "number", "null"]})
    """Of matrices: in how many directions there is something; null for other parts."""
    saturation: Any = Field(json_schema_extra={"type": ["array", "number", "null"]})
    """Of matrices: the share of the first direction in all there is, 0 to 1; near 1 every read returns the same."""


class ReaderFigures(ResponseModel):
    """What the reader of earlier chunks has read."""

    segments: int


class RecallFigures(ResponseModel):
    """What the recall head keeps."""

    numbers: float
    """About how many numbers: the weights they were written with, summed."""


class MemoryDescription(ResponseModel):
    """What a session's memory holds."""

    object: Literal["memory"]
    session_id: str
    model: str
    next_seq: int
    tokens_seen: int
    """Content tokens written to it."""
    memory_bytes: int
    layers: list[int]
    """Layers of the model whose attention has a memory: what the axis `layer` counts."""
    gates: list[list[float]] | None
    """Share of each head's output that is taken from memory, per layer; null where the attention has none."""
    parts: list[MemoryPart]
    reader: ReaderFigures | None
    recall: RecallFigures | None
