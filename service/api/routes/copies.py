"""Forks, exports and imports of sessions."""

import asyncio
from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response

from service.api.body import json_body, raw_body
from service.api.dependencies import (
    AppendConditions,
    Context,
    Current,
    IdempotencyKey,
    SessionId,
    Tenant,
    accepting,
)
from service.api.openapi import json_request, request_body
from service.api.quotas import room_for_a_session
from service.api.session_answers import begun_response, position_headers
from service.schemas.copies import BegunSession, ForkRequest
from service.schemas.sessions import MAX_TTL_SECONDS
from service.sessions.beginnings import RequestKey, Wish, request_digest
from service.sessions.codec import encode
from service.sessions.names import SESSION_ID
from service.sessions.session_contents import metadata_text
from service.sessions.session_file import MEDIA_TYPE, unpack

_FORK_BYTES = 64 * 1024
_BINARY = {"type": "string", "format": "binary"}

router = APIRouter(tags=["sessions"])


@router.post(
    "/v1/sessions/{session_id}/fork",
    operation_id="fork_session",
    status_code=201,
    dependencies=[Depends(accepting)],
    responses={201: {"model": BegunSession}},
    openapi_extra=json_request(ForkRequest, required=False),
)
async def fork_session(
    body: Annotated[
        ForkRequest, Depends(json_body(ForkRequest, most_bytes=_FORK_BYTES, optional=True))
    ],
    services: Current,
    tenant: Tenant,
    session_id: SessionId,
    conditions: AppendConditions,
    context: Context,
) -> Response:
    """Begin a session that shares the past of another: all of it, or up to a number after which its state is kept.

    It replays the shared chunks as its parent does, and from there on the two have nothing in common. `If-Match` is a
    condition on the parent, which does not change.
    """
    request = None
    if conditions.idempotency_key is not None:
        digest = request_digest(f"fork {session_id}", body.model_dump(mode="json"))
        request = RequestKey(conditions.idempotency_key, digest)
    metadata = None if body.metadata is None else metadata_text(body.metadata)
    wish = Wish(body.id, metadata, request, body.ttl_seconds)
    async with room_for_a_session(services, context, request):
        begun = await services.copies.forks.fork(
            tenant, session_id, wish, body.at_seq, conditions.if_match
        )
    return await begun_response(services, begun)


@router.get(
    "/v1/sessions/{session_id}/export",
    operation_id="export_session",
    response_class=Response,
    responses={200: {"content": {MEDIA_TYPE: {"schema": _BINARY}}}},
)
async def export_session(
    services: Current,
    tenant: Tenant,
    session_id: SessionId,
    answers: Annotated[bool, Query()] = True,  # noqa: FBT002 - a query parameter
) -> Response:
    """Return a session as one safetensors file, which any service with the same model reads on from.

    With `answers` it holds the kept answers of its chunks, so that retries replay and searches find after an import,
    too. Keys of appends stay behind.
    """
    record, data = await services.copies.transfers.export(tenant, session_id, answers=answers)
    name = f'attachment; filename="{record.id}.safetensors"'
    headers = {**position_headers(record), "content-disposition": name}
    return Response(data, headers=headers, media_type=MEDIA_TYPE)


def _imported_wish(
    session_id: Annotated[str | None, Query(alias="id", pattern=SESSION_ID.pattern)] = None,
    ttl_seconds: Annotated[int | None, Query(ge=1, le=MAX_TTL_SECONDS)] = None,
) -> Wish:
    return Wish(session_id, ttl_seconds=ttl_seconds)


@router.post(
    "/v1/sessions/import",
    operation_id="import_session",
    status_code=201,
    dependencies=[Depends(accepting)],
    responses={201: {"model": BegunSession}},
    openapi_extra=request_body(MEDIA_TYPE, _BINARY),
)
async def import_session(
    body: Annotated[bytes, Depends(raw_body(MEDIA_TYPE, lambda s: s.limits.import_bytes))],
    services: Current,
    tenant: Tenant,
    context: Context,
    wish: Annotated[Wish, Depends(_imported_wish)],
    key: IdempotencyKey,
) -> Response:
    """Begin a session from an exported file, if all of it verifies; it goes on bit for bit as the exported one would.

    Without `id` the server chooses one; the id that the session had elsewhere is not used, nor is what was left of its
    life: it expires `ttl_seconds` after its last append, by default as the operator says.
    """
    contents = await asyncio.to_thread(unpack, body)
    encoder = services.encoder(contents.model)
    info = await encoder.info()
    if contents.fingerprint == info.fingerprint:
        await encoder.verify(encode(contents.state))
    if key is not None:
        operation = f"import {wish.session_id} {wish.ttl_seconds}"
        digest = await asyncio.to_thread(request_digest, operation, body)
        wish = replace(wish, request=RequestKey(key, digest))
    async with room_for_a_session(services, context, wish.request):
        begun = await services.copies.transfers.adopt(tenant, info, contents, wish)
    return await begun_response(services, begun)
