"""`POST /v1/encode`: vectors of texts and of their tokens."""

from collections.abc import Iterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response

from service.api.answers import tokens_json, usage_json
from service.api.body import json_body
from service.api.dependencies import Context, Current, accepting
from service.api.limits import at_most
from service.api.openapi import json_request
from service.api.quotas import within_budget
from service.api.vectors import encode_vector, json_array, json_response
from service.ports import EmbedResult, EncoderPort, TokenVectors
from service.schemas.base import EncodingFormat
from service.schemas.encode import EncodeRequest, EncodeResponse

router = APIRouter(tags=["tokens"])


@router.post(
    "/v1/encode",
    operation_id="encode_texts",
    dependencies=[Depends(accepting), Depends(within_budget)],
    responses={200: {"model": EncodeResponse}},
    openapi_extra=json_request(EncodeRequest),
)
async def encode_texts(
    body: Annotated[EncodeRequest, Depends(json_body(EncodeRequest))],
    services: Current,
    context: Context,
) -> Response:
    """Encode texts without a session, and every token in its place.

    A text over the window follows the rule of `/v1/embeddings`; on a model with memory all of its tokens are answered.
    """
    encoder = services.encoder(body.model)
    at_most(services.limits.texts, body.input, "input")
    embedded, texts = await _encode(encoder, body)
    context.times += embedded.times
    context.charge(embedded.tokens)
    data: list[dict[str, Any]] = [{"index": index} for index in range(len(body.input))]
    if "embedding" in body.members:
        for item, vector in zip(data, embedded.vectors, strict=True):
            item["embedding"] = encode_vector(vector, body.encoding_format)
    for item, text in zip(data, texts, strict=False):
        item["tokens"] = await json_array(
            _vectors_json(text, body.encoding_format, special=body.special_tokens)
        )
    usage = usage_json(embedded.tokens, embedded.truncated_tokens)
    answer = {"object": "list", "data": await json_array(data), "model": body.model, "usage": usage}
    return json_response(answer)


async def _encode(
    encoder: EncoderPort, body: EncodeRequest
) -> tuple[EmbedResult, tuple[TokenVectors, ...]]:
    """Ask for token vectors only where they are wanted: there are hundreds of them to one text's."""
    if "tokens" not in body.members:
        return await encoder.embed(body.input, truncate=body.truncate), ()
    result = await encoder.encode(body.input, truncate=body.truncate)
    return result.embedded, result.texts


def _vectors_json(
    text: TokenVectors, encoding: EncodingFormat, *, special: bool
) -> Iterator[dict[str, Any]]:
    for token, vector in zip(tokens_json(text.tokens), text.vectors, strict=True):
        if special or token["start"] is not None:
            yield {**token, "embedding": encode_vector(vector, encoding)}
