"""`POST /v1/attention`: scores, weights and sums of every layer and head."""

from typing import Annotated, Any, get_args

import numpy as np
from fastapi import APIRouter, Depends, Response
from numpy.typing import NDArray

from service.api.answers import tokens_json
from service.api.body import json_body
from service.api.dependencies import Context, Current, accepting
from service.api.openapi import json_request
from service.api.quotas import within_budget
from service.api.vectors import json_array, json_response
from service.ports import AttentionCommand, DirectionAttention, LayerAttention
from service.schemas.attention import AttentionRequest, AttentionResponse, Stage

router = APIRouter(tags=["tokens"])


@router.post(
    "/v1/attention",
    operation_id="show_attention",
    dependencies=[Depends(accepting), Depends(within_budget)],
    responses={200: {"model": AttentionResponse}},
    openapi_extra=json_request(AttentionRequest),
)
async def show_attention(
    body: Annotated[AttentionRequest, Depends(json_body(AttentionRequest))],
    services: Current,
    context: Context,
) -> Response:
    """Show how a short text is attended to, and how much of it came from memory."""
    result = await services.encoder(body.model).inspect(
        AttentionCommand(
            text=body.input,
            context=body.context,
            layers=None if body.layers is None else tuple(body.layers),
            heads=None if body.heads is None else tuple(body.heads),
            stages=frozenset(body.stages),
        )
    )
    context.times += result.times
    context.charge(result.read_tokens)
    answer: dict[str, Any] = {
        "object": "attention",
        "model": body.model,
        "tokens": tokens_json(result.tokens),
        "layers": await json_array(_layer_json(layer, result.heads) for layer in result.layers),
        "usage": {"prompt_tokens": result.read_tokens, "total_tokens": result.read_tokens},
    }
    if result.memory_share is not None:
        answer["memory_share"] = _row(result.memory_share)
    return json_response(answer)


def _layer_json(layer: LayerAttention, heads: tuple[int, ...]) -> dict[str, Any]:
    return {
        "layer": layer.layer,
        "heads": [_head_json(layer, row, head) for row, head in enumerate(heads)],
    }


def _head_json(layer: LayerAttention, row: int, head: int) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "head": head,
        "directions": [_direction_json(one, row) for one in layer.directions],
    }
    for name in ("outputs", "memory_share"):
        values = getattr(layer, name)
        if values is not None:
            answer[name] = _row(values[row])
    return answer


def _direction_json(one: DirectionAttention, row: int) -> dict[str, Any]:
    stages = {name: getattr(one, name) for name in get_args(Stage)}
    shown = {name: _row(values[row]) for name, values in stages.items() if values is not None}
    return {"direction": one.direction, **shown}


def _row(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Prepare an array for `to_json`, which writes the -inf of a hidden score as null."""
    return np.ascontiguousarray(values)
