"""`POST /v1/sessions/{id}/complete`: the end of a document, and a second look at it."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from service.schemas.base import EmbeddingValue, EncodingFormat, RequestModel, ResponseModel
from service.schemas.embeddings import EmbeddingsUsage
from service.schemas.sessions import FirstSeq, Session


class CompleteRequest(RequestModel):
    """Nothing, or chunks to look at again."""

    revisit: bool = False
    """Whether to encode `chunks` once more, now against the memory of the whole document."""
    first_seq: FirstSeq | None = None
    """Sequence number of the first chunk to look at again."""
    chunks: Annotated[list[str], Field(fail_fast=True)] | None = None
    """Chunks as they were appended: the service keeps no text. None of them only completes the session."""
    encoding_format: EncodingFormat = "float"

    @model_validator(mode="after")
    def _check(self) -> Self:
        given = (self.first_seq is not None, self.chunks is not None)
        if self.revisit and not all(given):
            raise PydanticCustomError(
                "revisit_incomplete", "With revisit, first_seq and chunks say what to look at again"
            )
        if not self.revisit and any(given):
            raise PydanticCustomError(
                "revisit_missing", "first_seq and chunks are read with revisit: true only"
            )
        return self


class RevisitedChunk(ResponseModel):
    """A chunk at second look."""

    seq: int
    embedding: EmbeddingValue
    """Knows what came before the chunk in its document, and what came after."""
    tokens: int


class CompleteResponse(ResponseModel):
    """The completed session."""

    object: Literal["complete"]
    session: Session
    chunks: list[RevisitedChunk]
    """The chunks that were looked at again, in their order."""
    usage: EmbeddingsUsage
    """What the second look encoded."""
