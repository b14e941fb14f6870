"""`/v1/models`."""

import asyncio
from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Response

from service.api.dependencies import Current
from service.api.vectors import json_response
from service.errors import Unavailable
from service.ports import EncoderPort, ModelInfo
from service.schemas.models import Model, ModelList

router = APIRouter(tags=["models"])


@router.get("/v1/models", operation_id="list_models", responses={200: {"model": ModelList}})
async def list_models(services: Current) -> Response:
    """List the served models, without those that are unavailable now."""
    infos = await asyncio.gather(*map(_info_if_available, services.encoders.values()))
    data = [_model_json(info) for info in infos if info is not None]
    return json_response({"object": "list", "data": data})


@router.get("/v1/models/{model_id}", operation_id="get_model", responses={200: {"model": Model}})
async def get_model(model_id: str, services: Current) -> Response:
    """Describe one model."""
    return json_response(_model_json(await services.encoder(model_id).info()))


async def _info_if_available(encoder: EncoderPort) -> ModelInfo | None:
    try:
        return await encoder.info()
    except Unavailable:
        return None


def _model_json(info: ModelInfo) -> dict[str, Any]:
    return {"object": "model", "created": 0, "owned_by": "longstream", **asdict(info)}
