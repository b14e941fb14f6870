"""`/v1/sessions`: everything about sessions that reads no text."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response

from service.api.body import json_body
from service.api.dependencies import (
    Context,
    Current,
    IdempotencyKey,
    IfMatch,
    SessionId,
    Tenant,
    accepting,
)
from service.api.openapi import json_request
from service.api.quotas import room_for_a_session
from service.api.session_answers import (
    begun_response,
    memory_bytes,
    position_headers,
    session_json,
    traits_of,
)
from service.api.stateless_answers import begin_stateless
from service.api.vectors import encode_vector, json_response
from service.schemas.base import EncodingFormat
from service.schemas.copies import BegunSession, StatelessSession
from service.schemas.sessions import (
    CreateSessionRequest,
    DocumentEmbedding,
    Session,
    SessionList,
)
from service.sessions.beginnings import RequestKey, Wish, request_digest
from service.sessions.names import SESSION_ID
from service.sessions.origins import NO_TRAITS, SessionTraits
from service.sessions.session_contents import metadata_text

_CREATE_BYTES = 64 * 1024

router = APIRouter(tags=["sessions"])


@router.post(
    "/v1/sessions",
    operation_id="create_session",
    status_code=201,
    dependencies=[Depends(accepting)],
    responses={201: {"model": BegunSession | StatelessSession}},
    openapi_extra=json_request(CreateSessionRequest),
)
async def create_session(
    body: Annotated[
        CreateSessionRequest, Depends(json_body(CreateSessionRequest, most_bytes=_CREATE_BYTES))
    ],
    services: Current,
    tenant: Tenant,
    key: IdempotencyKey,
    context: Context,
) -> Response:
    """Begin a session; with `stateless` one whose state you keep: nothing of it is stored here.

    A request that is sent again with its `Idempotency-Key` is answered with the session that it began, `replayed`.
    """
    info = await services.encoder(body.model).info()
    if body.stateless:
        return begin_stateless(services, tenant, info)
    request = None
    if key is not None:
        request = RequestKey(key, request_digest("create", body.model_dump(mode="json")))
    wish = Wish(body.id, metadata_text(body.metadata), request, body.ttl_seconds)
    async with room_for_a_session(services, context, request):
        begun = await services.catalog.begin(tenant, info, wish, SessionTraits(indexed=body.index))
    return await begun_response(services, begun)


@router.get("/v1/sessions", operation_id="list_sessions", responses={200: {"model": SessionList}})
async def list_sessions(
    services: Current,
    tenant: Tenant,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    after: Annotated[str | None, Query(pattern=SESSION_ID.pattern)] = None,
) -> Response:
    """List open sessions by ascending id, a page at a time."""
    found = await services.catalog.list(tenant, after, limit + 1)
    page = found[:limit]
    models = sorted({record.model for record in page})
    sizes = dict(
        zip(models, await asyncio.gather(*(memory_bytes(services, m) for m in models)), strict=True)
    )
    traits = await services.catalog.traits(tenant, [record.id for record in page])
    has_more = len(found) > limit
    return json_response(
        {
            "object": "list",
            "data": [
                session_json(record, sizes[record.model], traits.get(record.id, NO_TRAITS))
                for record in page
            ],
            "has_more": has_more,
            "next_after": page[-1].id if has_more else None,
        }
    )


@router.get(
    "/v1/sessions/{session_id}",
    operation_id="get_session",
    responses={200: {"model": Session}},
)
async def get_session(services: Current, tenant: Tenant, session_id: SessionId) -> Response:
    """Describe a session."""
    record = await services.catalog.get(tenant, session_id)
    size = await memory_bytes(services, record.model)
    body = session_json(record, size, await traits_of(services, record))
    return json_response(body, headers=position_headers(record))


@router.head("/v1/sessions/{session_id}", operation_id="head_session")
async def head_session(services: Current, tenant: Tenant, session_id: SessionId) -> Response:
    """Tell where to go on: the headers `Next-Seq`, `Session-Completed` and `ETag`."""
    record = await services.catalog.get(tenant, session_id)
    return Response(headers=position_headers(record), media_type="application/json")


@router.get(
    "/v1/sessions/{session_id}/embedding",
    operation_id="get_session_embedding",
    responses={200: {"model": DocumentEmbedding}},
)
async def get_session_embedding(
    services: Current,
    tenant: Tenant,
    session_id: SessionId,
    encoding_format: EncodingFormat = "float",
) -> Response:
    """Return the running document vector."""
    record, vector = await services.catalog.document(tenant, session_id)
    body = {
        "object": "document_embedding",
        "session_id": record.id,
        "embedding": encode_vector(vector, encoding_format),
        "tokens": record.tokens,
        "next_seq": record.next_seq,
    }
    return json_response(body, headers=position_headers(record))


@router.delete(
    "/v1/sessions/{session_id}",
    operation_id="delete_session",
    status_code=204,
    response_class=Response,
)
async def delete_session(
    services: Current, tenant: Tenant, session_id: SessionId, tags: IfMatch
) -> Response:
    """End a session, also one that is lost; its id stays taken until it is forgotten."""
    await services.catalog.delete(tenant, session_id, tags)
    return Response(status_code=204)
