"""`GET /v1/sessions/{id}/memory`: what a session's memory holds."""

from typing import Any

from fastapi import APIRouter, Depends, Response

from service.api.dependencies import Context, Current, SessionId, Tenant, accepting
from service.api.vectors import json_response
from service.ports import MemoryCommand, PartFigures
from service.schemas.copies import MemoryDescription

router = APIRouter(tags=["sessions"])


@router.get(
    "/v1/sessions/{session_id}/memory",
    operation_id="describe_session_memory",
    dependencies=[Depends(accepting)],
    responses={200: {"model": MemoryDescription}},
)
async def describe_session_memory(
    services: Current, tenant: Tenant, session_id: SessionId, context: Context
) -> Response:
    """Describe a session's memory: norms, ranks, saturation, gates; what its reader and its recall head keep."""
    record = await services.catalog.get(tenant, session_id)
    found = await services.session_encoder(record).memory(MemoryCommand(tenant, session_id))
    context.times += found.times
    body = {
        "object": "memory",
        "session_id": session_id,
        "model": record.model,
        "next_seq": found.next_seq,
        "tokens_seen": found.tokens_seen,
        "memory_bytes": found.nbytes,
        "layers": found.layers,
        "gates": None if found.gates is None else found.gates.tolist(),
        "parts": [_part_json(part) for part in found.parts],
        "reader": None if found.segments is None else {"segments": found.segments},
        "recall": None if found.numbers is None else {"numbers": found.numbers},
    }
    return json_response(body, headers={"etag": f'"{found.etag}"', "cache-control": "no-store"})


def _part_json(part: PartFigures) -> dict[str, Any]:
    rank, saturation = part.effective_rank, part.saturation
    return {
        "name": part.name,
        "shape": part.shape,
        "axes": part.axes,
        # A part that is one piece has one figure, and no list.
        "norm": part.norm.tolist(),
        "effective_rank": None if rank is None else rank.tolist(),
        "saturation": None if saturation is None else saturation.tolist(),
    }
