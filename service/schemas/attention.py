"""`POST /v1/attention`: how a short text is attended to."""

from typing import Annotated, Literal, get_args

from pydantic import FailFast, Field

from service.schemas.base import RequestModel, ResponseModel
from service.schemas.tokens import Token

Stage = Literal["scores", "weights", "outputs"]
Stages = Annotated[list[Stage], Field(min_length=1, max_length=len(get_args(Stage))), FailFast()]
"""Stages; the first that is none, or one too many, ends the check."""
Indices = Annotated[
    list[Annotated[int, Field(ge=0)]], Field(min_length=1, max_length=256, fail_fast=True)
]
"""Layers or heads, from 0."""
Matrix = list[list[float]]


class AttentionRequest(RequestModel):
    """A text whose attention is to be shown."""

    model: str = Field(max_length=256)
    """Id of a served model."""
    input: str
    """The text; short, since its attention is quadratic."""
    context: str | None = None
    """Text of any length that a model whose attention has a memory reads into a fresh one before `input`."""
    layers: Indices | None = None
    """Layers to show; all by default."""
    heads: Indices | None = None
    """Heads to show; all by default."""
    stages: Stages = Field(default=["weights"], alias="return")
    """Which of attention's three steps to show."""


class DirectionAttention(ResponseModel):
    """What a head did looking in one direction; row i is token i's."""

    direction: Literal["both", "forward", "backward"]
    """Where a token may look: everywhere, at itself and what is before it, at itself and what is after it."""
    scores: list[list[float | None]] | None = None
    """How well token i's query fits token j's key; null where i may not look."""
    weights: Matrix | None = None
    """How much of token j's value token i takes: the softmax of its scores. Every row sums to 1."""
    outputs: Matrix | None = None
    """The values summed by the weights."""


class HeadAttention(ResponseModel):
    """What one head of a layer did."""

    head: int
    directions: list[DirectionAttention]
    outputs: Matrix | None = None
    """What the head hands to the output projection, after directions are fused, heads weighted and memory mixed in."""
    memory_share: list[float] | None = None
    """Part of each token's output that came from memory, in [0, 1]; where the attention has one."""


class LayerAttention(ResponseModel):
    """The heads of one layer."""

    layer: int
    heads: list[HeadAttention]


class AttentionUsage(ResponseModel):
    """What was read, context included."""

    prompt_tokens: int
    total_tokens: int


class AttentionResponse(ResponseModel):
    """How a text was attended to."""

    object: Literal["attention"]
    model: str
    tokens: list[Token]
    """CLS, the text's tokens, SEP: all of them attend."""
    layers: list[LayerAttention]
    memory_share: list[float] | None = None
    """Mean of each token's share over all layers and heads; on models with memory."""
    usage: AttentionUsage
