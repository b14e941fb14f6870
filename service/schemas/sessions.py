"""`/v1/sessions`: a document that is still being read."""

from typing import Annotated, Any, Final, Literal, Self, get_args

from pydantic import FailFast, Field, JsonValue, model_validator
from pydantic_core import PydanticCustomError

from service.schemas.base import (
    MAX_SEQ,
    SESSION_ID_PATTERN,
    EmbeddingValue,
    EncodingFormat,
    RequestModel,
    ResponseModel,
    Texts,
)

ReturnMember = Literal["embedding", "document", "tokens"]
ReturnMembers = Annotated[
    list[ReturnMember], Field(max_length=len(get_args(ReturnMember))), FailFast()
]
"""Members; the first that is none, or one too many, ends the check."""
MAX_TTL_SECONDS: Final = 10_000_000_000
"""Some three hundred years; the operator may allow less."""
FirstSeq = Annotated[int, Field(ge=0, le=MAX_SEQ)]
TtlSeconds = Annotated[int, Field(ge=1, le=MAX_TTL_SECONDS)]


class CreateSessionRequest(RequestModel):
    """A session to begin."""

    model: str = Field(max_length=256)
    """Id of a served model that has a memory."""
    id: str | None = Field(default=None, pattern=SESSION_ID_PATTERN)
    """Your own id; the server chooses one if it is left out."""
    metadata: dict[str, JsonValue] = Field(default_factory=dict)
    """Any JSON object; kept and returned, never read."""
    index: bool = False
    """Keep chunk vectors so that `query` also finds the nearest chunks of this session."""
    stateless: bool = False
    """Store nothing: you get a state token, and send it with the chunks to `POST /v1/sessions/stateless`."""
    ttl_seconds: TtlSeconds | None = None
    """Seconds it lives after its last append; the operator's default, which may be for ever, if left out."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        given = (self.id is not None, self.metadata, self.index, self.ttl_seconds is not None)
        if self.stateless and any(given):
            raise PydanticCustomError(
                "stateless_keeps_nothing",
                "With stateless nothing is stored: id, metadata, index and ttl_seconds do not go with it",
            )
        return self


class AppendRequest(RequestModel):
    """Chunks to read into a session, in order."""

    chunks: Texts
    first_seq: FirstSeq | None = None
    """Sequence number of the first chunk: makes the request safe to repeat."""
    members: ReturnMembers = Field(default=["embedding", "tokens"], alias="return")
    """What to answer with beside the sequence numbers."""
    encoding_format: EncodingFormat = "float"


class ForkedFrom(ResponseModel):
    """Where a session left another."""

    id: str
    at_seq: int
    """How many chunks the two share."""


class Session(ResponseModel):
    """A session as it is now."""

    object: Literal["session"]
    id: str
    model: str
    status: Literal["open"]
    completed: bool
    """True once it takes no more chunks; it stays readable."""
    next_seq: int
    """Sequence number of the next chunk: how many were read."""
    tokens: int
    memory_bytes: int | None
    """Size of its memory, whatever its length; null while its model is not served."""
    state_bytes: int
    """Bytes of its state in the store: memory, running document vector, header. Beside it stand its answers, and as
    many bytes again for each earlier state that is kept to be forked from."""
    created_at: float
    """Unix time, seconds."""
    updated_at: float
    ttl_seconds: float | None
    """How long it lives after its last append or its completion; null for ever."""
    expires_at: float | None
    """Unix time, seconds, at which it expires unless something is appended before; null for never."""
    metadata: dict[str, Any]
    index: bool
    """Whether `query` finds its nearest chunks."""
    forked_from: ForkedFrom | None
    """The session whose past it shares; null if it began by itself."""
    etag: str
    """Changes with every chunk, and when the session is completed."""


class SessionList(ResponseModel):
    """A page of sessions by ascending id."""

    object: Literal["list"]
    data: list[Session]
    has_more: bool
    next_after: str | None
    """`after` of the next page."""


class AppendedChunk(ResponseModel):
    """What one chunk came back as."""

    seq: int
    embedding: EmbeddingValue | None = None
    tokens: int | None = None
    token_range: tuple[int, int] | None = None
    """First token and the one past the last, counted over the session."""
    replayed: bool
    """True if this is the stored answer of an earlier append."""


class RunningDocument(ResponseModel):
    """The document so far."""

    embedding: EmbeddingValue
    tokens: int
    next_seq: int


class AppendResponse(ResponseModel):
    """Answers of one append, all of them durable."""

    object: Literal["append"]
    session_id: str
    model: str
    chunks: list[AppendedChunk]
    next_seq: int
    replayed: bool
    """True if every chunk was a replay."""
    document: RunningDocument | None = None


class DocumentEmbedding(ResponseModel):
    """Running document vector of a session."""

    object: Literal["document_embedding"]
    session_id: str
    embedding: EmbeddingValue
    tokens: int
    next_seq: int


class StreamEvent(ResponseModel):
    """One line of a stream's answer; an `error` line also has the members of a problem document."""

    event: Literal["chunk", "done", "error"]
    seq: int | None = None
    embedding: EmbeddingValue | None = None
    tokens: int | None = None
    token_range: tuple[int, int] | None = None
    replayed: bool | None = None
    text_range: tuple[int, int] | None = None
    """First character of this request's text in the chunk and the one past the last."""
    chunks: int | None = None
    next_seq: int | None = None
