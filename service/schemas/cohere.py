"""`POST /v2/embed` in Cohere's shape."""

from typing import Annotated, Any, Literal, Self, get_args

from pydantic import FailFast, Field, model_validator
from pydantic_core import PydanticCustomError

from service.schemas.base import RequestModel, ResponseModel

EmbeddingType = Literal["float", "base64", "int8", "binary", "ubinary"]
EmbeddingTypes = Annotated[
    list[EmbeddingType], Field(min_length=1, max_length=len(get_args(EmbeddingType))), FailFast()
]


class CohereText(RequestModel):
    """A piece of an input."""

    type: Literal["text"]
    text: str


class CohereInput(RequestModel):
    """An input of one text."""

    content: Annotated[list[CohereText], Field(min_length=1, max_length=1)]


class CohereEmbedRequest(RequestModel):
    """Texts to encode without a session."""

    model: str = Field(max_length=256)
    """Id of a served model."""
    input_type: Literal["search_document", "search_query", "classification", "clustering"]
    """Accepted for compatibility: all are encoded alike."""
    texts: Annotated[list[str], Field(min_length=1, fail_fast=True)] | None = None
    inputs: Annotated[list[CohereInput], Field(min_length=1, fail_fast=True)] | None = None
    """The same as `texts`, each in an object; images are not read."""
    output_dimension: int | None = None
    """Accepted only if it is the model's width."""
    embedding_types: EmbeddingTypes = Field(default=["float"])
    """Types of numbers to answer with; `int8` is scaled per vector, to be compared by cosine."""
    truncate: Literal["NONE", "END"] = "NONE"
    """What to do with a text over the window of a model without memory: refuse it, which other than at Cohere is the
    default, or cut its end and say so in `meta.warnings`."""
    priority: int | None = None
    """Accepted for compatibility; not used."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.texts is None) == (self.inputs is None):
            raise PydanticCustomError("texts_missing", "Send either texts or inputs")
        return self

    @property
    def all_texts(self) -> list[str]:
        """The texts, whatever they are called."""
        if self.texts is not None:
            return self.texts
        return [one.content[0].text for one in self.inputs or ()]


class CohereEmbedResponse(ResponseModel):
    """Vectors in the order of the texts, per type of number."""

    id: str
    response_type: Literal["embeddings_by_type"]
    embeddings: dict[str, list[Any]]
    texts: list[str]
    meta: dict[str, Any]
    """`billed_units.input_tokens`: tokens read; `warnings`: what was cut, if anything was."""
