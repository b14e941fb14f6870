"""`POST /v1/encode`: vectors of texts and of their tokens."""

from typing import Annotated, Literal, get_args

from pydantic import FailFast, Field

from service.schemas.base import (
    EmbeddingValue,
    EncodingFormat,
    OneOrManyTexts,
    RequestModel,
    ResponseModel,
)
from service.schemas.embeddings import EmbeddingsUsage
from service.schemas.tokens import Token

EncodeMember = Literal["embedding", "tokens"]
EncodeMembers = Annotated[
    list[EncodeMember], Field(min_length=1, max_length=len(get_args(EncodeMember))), FailFast()
]
"""Members; the first that is none, or one too many, ends the check."""


class EncodeRequest(RequestModel):
    """Texts to encode without a session."""

    model: str = Field(max_length=256)
    """Id of a served model."""
    input: OneOrManyTexts
    """One text or several; empty texts are allowed."""
    truncate: bool = False
    """Cut texts over the window of a model without memory, and count what was cut."""
    members: EncodeMembers = Field(default=["embedding"], alias="return")
    """What to answer with: `embedding`, the vector of each text; `tokens`, a vector for each of its tokens."""
    special_tokens: bool = False
    """List CLS and SEP of each segment among the tokens."""
    encoding_format: EncodingFormat = "float"


class EncodedToken(Token):
    """One token with its vector."""

    embedding: EmbeddingValue
    """The last layer's vector of the token in its text, not normalised."""


class EncodedText(ResponseModel):
    """Vectors of one text."""

    index: int
    embedding: EmbeddingValue | None = None
    """Mean over the vectors of all tokens, CLS and SEP of each segment included whether they are listed or not, at unit
    length; with `return` `embedding`."""
    tokens: list[EncodedToken] | None = None
    """With `return` `tokens`."""


class EncodeResponse(ResponseModel):
    """Vectors in the order of the texts."""

    object: Literal["list"]
    data: list[EncodedText]
    model: str
    usage: EmbeddingsUsage
