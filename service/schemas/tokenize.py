"""`POST /v1/tokenize`: what a model would read."""

from typing import Literal

from pydantic import Field

from service.schemas.base import OneOrManyTexts, RequestModel, ResponseModel


class TokenizeRequest(RequestModel):
    """Texts to cut into tokens; nothing is encoded."""

    model: str = Field(max_length=256)
    """Id of a served model."""
    input: OneOrManyTexts
    """One text or several; empty texts are allowed."""


class TokenizedText(ResponseModel):
    """Tokens of one text, without CLS and SEP."""

    index: int
    ids: list[int]
    tokens: list[str]
    """As the vocabulary spells them."""
    offsets: list[tuple[int, int]]
    """First character of each token and the one after its last, counted in code points."""
    count: int


class TokenizeResponse(ResponseModel):
    """Tokens in the order of the texts."""

    object: Literal["list"]
    data: list[TokenizedText]
    model: str
    total: int
    """Tokens of all texts."""
    max_chunk_tokens: int
    """Window of one segment; two of it are CLS and SEP."""
