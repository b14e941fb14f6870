"""`POST /v1/tokenize`."""

from typing import Annotated

from fastapi import APIRouter, Depends, Response

from service.api.body import json_body
from service.api.dependencies import Context, Current, accepting
from service.api.limits import at_most
from service.api.openapi import json_request
from service.api.vectors import json_array, json_response
from service.schemas.tokenize import TokenizeRequest, TokenizeResponse

router = APIRouter(tags=["tokens"])


@router.post(
    "/v1/tokenize",
    operation_id="tokenize_texts",
    dependencies=[Depends(accepting)],
    responses={200: {"model": TokenizeResponse}},
    openapi_extra=json_request(TokenizeRequest),
)
async def tokenize_texts(
    body: Annotated[TokenizeRequest, Depends(json_body(TokenizeRequest))],
    services: Current,
    context: Context,
) -> Response:
    """Say which tokens a model would read, and where in each text they are."""
    encoder = services.encoder(body.model)
    at_most(services.limits.texts, body.input, "input")
    info = await encoder.info()
    result = await encoder.tokenize(body.input)
    context.times += result.times
    data = await json_array(
        {
            "index": index,
            "ids": text.ids,
            "tokens": text.pieces,
            "offsets": text.offsets,
            "count": len(text.ids),
        }
        for index, text in enumerate(result.texts)
    )
    return json_response(
        {
            "object": "list",
            "data": data,
            "model": body.model,
            "total": sum(len(text.ids) for text in result.texts),
            "max_chunk_tokens": info.max_chunk_tokens,
        }
    )
