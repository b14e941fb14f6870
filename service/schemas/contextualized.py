"""`POST /v1/contextualizedembeddings`: chunks of documents in one call, in Voyage's shape and in Perplexity's."""

from typing import Annotated, Final, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from service.schemas.base import RequestModel, ResponseModel

DEFAULT_CHUNK_TOKENS: Final = 512

Documents = Annotated[
    list[Annotated[list[str], Field(min_length=1, fail_fast=True)]],
    Field(min_length=1, fail_fast=True),
]
"""Lists of chunks; the first that is none ends the check."""


class ContextualizedRequest(RequestModel):
    """Documents, each a list of chunks in reading order: `inputs` as Voyage calls them, `input` as Perplexity does."""

    model: str = Field(max_length=256)
    """Id of a served model that has a memory."""
    inputs: Documents | None = None
    input: Documents | None = None
    input_type: Literal["query", "document"] | None = None
    """Accepted for compatibility: questions and documents are encoded alike."""
    output_dimension: int | None = None
    """Accepted only if it is the model's width; `dimensions` likewise."""
    dimensions: int | None = None
    output_dtype: Literal["float", "int8", "binary", "ubinary"] | None = None
    """Type of the numbers, `float` by default; `int8` is scaled per vector, to be compared by cosine."""
    encoding_format: Literal["float", "base64", "base64_int8", "base64_binary"] | None = None
    """`base64` packs the numbers; `base64_int8` and `base64_binary` are Perplexity's. Default: a list with `inputs`,
    `base64_int8` with `input`."""
    enable_auto_chunking: bool = False
    """Cut each document, which is then one text, into chunks here; their texts come back beside the vectors."""
    chunk_size: int | None = Field(default=None, ge=1, le=65_536)
    """Most tokens of a chunk that is cut here; 512 by default."""
    chunk_overlap: Literal[0] | None = None
    """None: a text that is read twice would be remembered twice."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.inputs is None) == (self.input is None):
            raise PydanticCustomError("inputs_missing", "Send either inputs or input")
        if self.enable_auto_chunking and any(len(one) != 1 for one in self.documents):
            raise PydanticCustomError(
                "documents_are_cut", "With enable_auto_chunking each document is one text"
            )
        if self.chunk_size is not None and not self.enable_auto_chunking:
            raise PydanticCustomError(
                "chunk_size_unused", "chunk_size is read with enable_auto_chunking: true only"
            )
        return self

    @property
    def documents(self) -> list[list[str]]:
        """The documents, whatever they are called."""
        return self.inputs or self.input or []


class ContextualizedChunk(ResponseModel):
    """A chunk's vector; it knows what came before it in its document."""

    object: Literal["embedding"]
    index: int
    embedding: list[float] | list[int] | str
    text: str | None = None
    """The chunk, if it was cut here."""


class ContextualizedDocument(ResponseModel):
    """Chunks of one document, in order."""

    object: Literal["list"]
    index: int
    data: list[ContextualizedChunk]


class ContextualizedUsage(ResponseModel):
    """What was read."""

    prompt_tokens: int
    total_tokens: int


class ContextualizedResponse(ResponseModel):
    """Documents, in order."""

    object: Literal["list"]
    data: list[ContextualizedDocument]
    model: str
    usage: ContextualizedUsage
