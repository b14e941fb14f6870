"""What all request and response bodies have in common."""

from typing import Annotated, Any, Final, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    FailFast,
    Field,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

SESSION_ID_PATTERN: Final = r"^[A-Za-z0-9_-]{1,128}$"
MAX_SEQ: Final = 2**53 - 1
"""Largest integer that every JSON reader keeps exactly."""
TOKEN_IDS_ERROR: Final = "token_ids_not_supported"  # noqa: S105 - an error code

EncodingFormat = Literal["float", "base64"]
EmbeddingValue = Annotated[
    list[float] | str,
    Field(description="Numbers, or base64 of little-endian float32 where that was asked for."),
]


class RequestModel(BaseModel):
    """A request body: nothing unknown, nothing coerced."""

    model_config = ConfigDict(
        frozen=True,
        strict=True,
        extra="forbid",
        allow_inf_nan=False,
        use_attribute_docstrings=True,
        populate_by_name=False,
    )


class ResponseModel(BaseModel):
    """A response body as documented; routes write the JSON themselves."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)


def _one_or_many(value: Any) -> Any:
    """Make one text a list of one; name token ids for what they are."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, list) and value and isinstance(value[0], int | list):
        raise PydanticCustomError(
            TOKEN_IDS_ERROR,
            "Token ids of another tokenizer cannot be read; send text. "
            "With langchain-openai: OpenAIEmbeddings(check_embedding_ctx_length=False)",
        )
    return value


Texts = Annotated[list[str], Field(min_length=1), FailFast()]
"""Texts; the first that is none ends the check, so that a million wrong ones cost no more."""

OneOrManyTexts = Annotated[
    Texts,
    BeforeValidator(_one_or_many),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string"},
                {"type": "array", "items": {"type": "string"}, "minItems": 1},
            ]
        }
    ),
]
"""One text or several, as a list."""
