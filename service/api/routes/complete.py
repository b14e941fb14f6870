"""`POST /v1/sessions/{id}/complete`: the end of a document, and a second look at it."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response

from service.api.answers import usage_json
from service.api.body import json_body
from service.api.dependencies import Context, Current, IfMatch, SessionId, Tenant, accepting
from service.api.limits import at_most
from service.api.openapi import json_request
from service.api.quotas import within_budget
from service.api.session_answers import (
    memory_bytes,
    position_headers,
    session_json,
    traits_of,
)
from service.api.vectors import encode_vector, json_response
from service.ports import RevisitCommand
from service.schemas.complete import CompleteRequest, CompleteResponse

router = APIRouter(tags=["sessions"])


@router.post(
    "/v1/sessions/{session_id}/complete",
    operation_id="complete_session",
    dependencies=[Depends(accepting)],
    responses={200: {"model": CompleteResponse}},
    openapi_extra=json_request(CompleteRequest, required=False),
)
async def complete_session(
    body: Annotated[CompleteRequest, Depends(json_body(CompleteRequest, optional=True))],
    services: Current,
    tenant: Tenant,
    session_id: SessionId,
    tags: IfMatch,
    context: Context,
) -> Response:
    """Take no more chunks; the session stays readable, and completing it again changes nothing.

    With `revisit` chunks that were appended are encoded once more, each against the memory of the whole document, which
    stays as it is. Ask as often as it takes to look at all of them.
    """
    chunks: list[dict[str, Any]] = []
    tokens = 0
    if body.first_seq is None or body.chunks is None:
        record = await services.catalog.complete(tenant, session_id, tags)
    else:
        await within_budget(context)
        at_most(services.limits.chunks, body.chunks, "chunks")
        record = await services.catalog.get(tenant, session_id)
        command = RevisitCommand(tenant, session_id, body.first_seq, tuple(body.chunks), tags)
        result = await services.session_encoder(record).revisit(command)
        context.times += result.times
        context.charge(result.read_tokens)
        tokens = result.read_tokens
        for chunk in result.chunks:
            vector = encode_vector(chunk.embedding, body.encoding_format)
            chunks.append({"seq": chunk.seq, "embedding": vector, "tokens": chunk.tokens})
        record = await services.catalog.get(tenant, session_id)
    answer = {
        "object": "complete",
        "session": session_json(
            record, await memory_bytes(services, record.model), await traits_of(services, record)
        ),
        "chunks": chunks,
        "usage": usage_json(tokens),
    }
    return json_response(answer, headers=position_headers(record))
