"""`POST /v1/sessions/{id}/query`: questions to a session."""

from typing import Annotated, Final, Literal

from pydantic import Field

from service.schemas.base import (
    EmbeddingValue,
    EncodingFormat,
    RequestModel,
    ResponseModel,
    Texts,
)
from service.schemas.embeddings import EmbeddingsUsage

MAX_TOP_K: Final = 1000


class QueryRequest(RequestModel):
    """Questions, each no longer than the model's window."""

    texts: Texts
    top_k: Annotated[int, Field(ge=1, le=MAX_TOP_K)] | None = None
    """How many of the session's nearest chunks to return for each question; 10 for a session with an index, and for one
    without it must be left out."""
    encoding_format: EncodingFormat = "float"


class NearChunk(ResponseModel):
    """A chunk of the session, found."""

    seq: int
    score: float
    """Cosine of its vector and the question's."""
    token_range: tuple[int, int]
    """First token and the one past the last, counted over the session."""


class Recollection(ResponseModel):
    """What the session remembers for a question."""

    answer: str | None
    """Digits of a number, at most 8, that the text asked to be remembered; null if none fits."""
    confidence: float
    """From 0 to 1; for an answer of several digits that of the least certain one."""
    found: bool


class QueryAnswer(ResponseModel):
    """One question."""

    index: int
    embedding: EmbeddingValue
    """Of the question alone, whatever the session has read: comparable with every chunk vector of the model."""
    tokens: int
    recall: Recollection | None
    """Null on a model that cannot recall."""
    nearest: list[NearChunk] | None
    """The session's chunks nearest to the question, best first; null if it has no index."""


class QueryResponse(ResponseModel):
    """Answers in the order of the questions."""

    object: Literal["query"]
    session_id: str
    model: str
    data: list[QueryAnswer]
    next_seq: int
    """How many chunks the session had read when it was asked."""
    searched: tuple[int, int] | None
    """First number of the chunks that were searched and the one past the last; null if the session has no index."""
    usage: EmbeddingsUsage
