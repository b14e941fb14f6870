"""Routes of text-embeddings-inference."""

from typing import Any, Literal

from pydantic import RootModel

from service.schemas.base import OneOrManyTexts, RequestModel, ResponseModel, Texts


class TeiInputs(RequestModel):
    """What all of its bodies have in common."""

    inputs: OneOrManyTexts
    """One text or several; empty texts are allowed."""
    prompt_name: None = None
    """No model here has prompts."""


class TeiEmbedAllRequest(TeiInputs):
    """Texts whose tokens are encoded."""

    truncate: bool | None = None
    """Cut texts over the window of a model without memory; refused otherwise."""
    truncation_direction: Literal["Right", "right"] = "Right"


class TeiEmbedRequest(TeiEmbedAllRequest):
    """Texts to encode."""

    normalize: bool = True
    """Unit length; otherwise the mean of the token vectors as it is."""
    dimensions: int | None = None
    """Accepted only if it is the model's width."""


class TeiTokenizeRequest(TeiInputs):
    """Texts to cut into tokens."""

    add_special_tokens: bool = True


class TeiSentences(RequestModel):
    """A sentence and those it is compared with."""

    source_sentence: str
    sentences: Texts


class TeiParameters(RequestModel):
    """How sentences are read."""

    truncate: bool | None = None
    truncation_direction: Literal["Right", "right"] = "Right"
    prompt_name: None = None


class TeiSimilarityRequest(RequestModel):
    """Sentences to compare."""

    inputs: TeiSentences
    parameters: TeiParameters | None = None


class TeiVectors(RootModel[list[list[float]]]):
    """One vector per text."""


class TeiTokenVectors(RootModel[list[list[list[float]]]]):
    """One vector per token of each text, CLS and SEP of each segment included; not normalised."""


class TeiScores(RootModel[list[float]]):
    """Cosines, in the order of the sentences."""


class TeiToken(ResponseModel):
    """A token and the characters it stands for; null for CLS and SEP."""

    id: int
    text: str
    special: bool
    start: int | None
    stop: int | None


class TeiTokens(RootModel[list[list[TeiToken]]]):
    """Tokens of each text."""


class TeiInfo(ResponseModel):
    """The model that answers where a request names none."""

    model_id: str
    model_sha: str
    model_dtype: Literal["float32"]
    model_type: dict[str, Any]
    max_concurrent_requests: int
    max_input_length: int
    max_batch_tokens: int
    max_client_batch_size: int
    auto_truncate: Literal[False]
    tokenization_workers: int
    version: str


class TeiError(ResponseModel):
    """An error as text-embeddings-inference words it."""

    error: str
    error_type: Literal["validation", "overloaded", "unhealthy", "backend"]
