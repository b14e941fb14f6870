"""`POST /v1/sessions/{id}/query`: questions to a session."""

from typing import Literal

from service.schemas.base import (
    EmbeddingValue,
    EncodingFormat,
    RequestModel,
    ResponseModel,
    Texts,
)
from service.schemas.embeddings import EmbeddingsUsage


class QueryRequest(RequestModel):
    """Questions, each no longer than the model's window."""

    texts: Texts
    encoding_format: EncodingFormat = "float"


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


class QueryResponse(ResponseModel):
    """Answers in the order of the questions."""

    object: Literal["query"]
    session_id: str
    model: str
    data: list[QueryAnswer]
    next_seq: int
    """How many chunks the session had read when it was asked."""
    usage: EmbeddingsUsage
