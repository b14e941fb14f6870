"""`POST /v1/embeddings`, as OpenAI's SDK sends and reads it."""

from typing import Annotated

from fastapi import APIRouter, Depends, Response

from service.api.answers import usage_json
from service.api.body import json_body
from service.api.dependencies import Context, Current, accepting
from service.api.limits import at_most, require_dimensions
from service.api.openapi import json_request
from service.api.quotas import within_budget
from service.api.vectors import encode_vector, json_array, json_response
from service.schemas.embeddings import EmbeddingsRequest, EmbeddingsResponse

router = APIRouter(tags=["embeddings"])


@router.post(
    "/v1/embeddings",
    operation_id="create_embeddings",
    dependencies=[Depends(accepting), Depends(within_budget)],
    responses={200: {"model": EmbeddingsResponse}},
    openapi_extra=json_request(EmbeddingsRequest),
)
async def create_embeddings(
    body: Annotated[EmbeddingsRequest, Depends(json_body(EmbeddingsRequest))],
    services: Current,
    context: Context,
) -> Response:
    """Encode texts without a session."""
    encoder = services.encoder(body.model)
    at_most(services.limits.texts, body.input, "input")
    await require_dimensions(encoder, body.dimensions, "dimensions")
    result = await encoder.embed(body.input, truncate=body.truncate)
    context.times += result.times
    context.charge(result.tokens)
    encoding = body.encoding_format or "float"
    data = await json_array(
        {"object": "embedding", "index": index, "embedding": encode_vector(vector, encoding)}
        for index, vector in enumerate(result.vectors)
    )
    usage = usage_json(result.tokens, result.truncated_tokens)
    return json_response({"object": "list", "data": data, "model": body.model, "usage": usage})
