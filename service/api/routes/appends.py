"""`POST /v1/sessions/{id}/chunks`: read chunks into a session."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response

from service.api.answers import chunk_json
from service.api.body import json_body
from service.api.dependencies import (
    AppendConditions,
    Context,
    Current,
    SessionId,
    Tenant,
    accepting,
)
from service.api.limits import at_most
from service.api.openapi import json_request
from service.api.quotas import append_and_charge, within_budget
from service.api.services import Services
from service.api.vectors import encode_vector, json_response
from service.ports import AppendCommand, AppendResult
from service.schemas.base import EncodingFormat
from service.schemas.sessions import AppendRequest, AppendResponse

router = APIRouter(tags=["sessions"])


@router.post(
    "/v1/sessions/{session_id}/chunks",
    operation_id="append_chunks",
    dependencies=[Depends(accepting), Depends(within_budget)],
    responses={200: {"model": AppendResponse}},
    openapi_extra=json_request(AppendRequest),
)
async def append_chunks(
    body: Annotated[AppendRequest, Depends(json_body(AppendRequest))],
    services: Current,
    tenant: Tenant,
    session_id: SessionId,
    conditions: AppendConditions,
    context: Context,
) -> Response:
    """Read chunks in order; each is durable before it is answered."""
    at_most(services.limits.chunks, body.chunks, "chunks")
    record = await services.catalog.get(tenant, session_id)
    command = AppendCommand(
        tenant=tenant,
        session_id=session_id,
        chunks=tuple(body.chunks),
        first_seq=body.first_seq,
        if_match=conditions.if_match,
        idempotency_key=conditions.idempotency_key,
        want_document="document" in body.members,
    )
    result = await append_and_charge(context, services.session_encoder(record), command)
    context.times += result.times
    answer: dict[str, Any] = {
        "object": "append",
        "session_id": session_id,
        "model": record.model,
        "chunks": [
            chunk_json(chunk, body.encoding_format, body.members) for chunk in result.answers
        ],
        "next_seq": result.next_seq,
        "replayed": all(chunk.replayed for chunk in result.answers),
    }
    if command.want_document:
        answer["document"] = await _document_json(services, command, result, body.encoding_format)
    return json_response(answer, headers={"etag": f'"{result.etag}"'})


async def _document_json(
    services: Services, command: AppendCommand, result: AppendResult, encoding: EncodingFormat
) -> dict[str, Any]:
    last = result.answers[-1]
    if result.document is not None and last.seq + 1 == result.next_seq:
        vector, tokens, next_seq = result.document, last.token_start + last.tokens, result.next_seq
    else:
        # A replay of older chunks: vector and counts must be of one moment, so the store is asked.
        record, vector = await services.catalog.document(command.tenant, command.session_id)
        tokens, next_seq = record.tokens, record.next_seq
    return {"embedding": encode_vector(vector, encoding), "tokens": tokens, "next_seq": next_seq}
