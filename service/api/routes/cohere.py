"""`POST /v2/embed`, as Cohere's SDK sends and reads it."""

from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Depends, Response
from numpy.typing import NDArray

from service.api.body import json_body
from service.api.dependencies import Context, Current, accepting
from service.api.limits import at_most, require_dimensions
from service.api.number_types import numbers, packed
from service.api.openapi import json_request
from service.api.quotas import within_budget
from service.api.vectors import json_array, json_response
from service.schemas.cohere import CohereEmbedRequest, CohereEmbedResponse, EmbeddingType

router = APIRouter(tags=["embeddings"])


@router.post(
    "/v2/embed",
    operation_id="cohere_embed",
    dependencies=[Depends(accepting), Depends(within_budget)],
    responses={200: {"model": CohereEmbedResponse}},
    openapi_extra=json_request(CohereEmbedRequest),
)
async def cohere_embed(
    body: Annotated[CohereEmbedRequest, Depends(json_body(CohereEmbedRequest))],
    services: Current,
    context: Context,
) -> Response:
    """Encode texts without a session; nothing is cut unless `truncate` is `END`."""
    encoder = services.encoder(body.model)
    texts = body.all_texts
    at_most(services.limits.texts, texts, "texts")
    await require_dimensions(encoder, body.output_dimension, "output_dimension")
    result = await encoder.embed(texts, truncate=body.truncate == "END")
    context.times += result.times
    context.charge(result.tokens)
    meta: dict[str, Any] = {
        "api_version": {"version": "2"},
        "billed_units": {"input_tokens": result.tokens},
    }
    if result.truncated_tokens:
        meta["warnings"] = [f"{result.truncated_tokens} tokens were cut off, as truncate asked for"]
    answer = {
        "id": context.request_id,
        "response_type": "embeddings_by_type",
        "embeddings": {
            kind: await json_array(_embedding(vector, kind) for vector in result.vectors)
            for kind in body.embedding_types
        },
        "texts": texts,
        "meta": meta,
    }
    return json_response(answer)


def _embedding(vector: NDArray[np.float32], kind: EmbeddingType) -> Any:
    return packed(numbers(vector, "float")) if kind == "base64" else numbers(vector, kind)
