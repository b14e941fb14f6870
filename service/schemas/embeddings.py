"""`POST /v1/embeddings` in OpenAI's shape."""

from typing import Literal

from pydantic import Field

from service.schemas.base import (
    EmbeddingValue,
    EncodingFormat,
    OneOrManyTexts,
    RequestModel,
    ResponseModel,
)


class EmbeddingsRequest(RequestModel):
    """Texts to encode without a session."""

    model: str = Field(max_length=256)
    """Id of a served model."""
    input: OneOrManyTexts
    """One text or several; empty texts are allowed."""
    encoding_format: EncodingFormat | None = None
    """`float` (the default) or `base64`."""
    dimensions: int | None = None
    """Accepted only if it is the model's width."""
    user: str | None = None
    """Accepted for compatibility; not used and not kept."""
    truncate: bool = False
    """Cut texts over the window of a model without memory, and count what was cut."""


class Embedding(ResponseModel):
    """One vector."""

    object: Literal["embedding"]
    index: int
    embedding: EmbeddingValue


class EmbeddingsUsage(ResponseModel):
    """What was read."""

    prompt_tokens: int
    total_tokens: int
    truncated_tokens: int
    """Tokens dropped because `truncate` was set."""


class EmbeddingsResponse(ResponseModel):
    """Vectors in the order of the texts."""

    object: Literal["list"]
    data: list[Embedding]
    model: str
    usage: EmbeddingsUsage
