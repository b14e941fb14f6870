"""`POST /v1/sessions/{id}/stream`: read a text of any length while it arrives."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from service.api.body import require_media_type
from service.api.dependencies import Current, IfMatch, SessionId, Tenant, accepting
from service.api.openapi import reference, request_body
from service.api.quotas import within_budget
from service.api.streaming import NdjsonResponse, SessionStream, StreamOptions
from service.errors import BadRequest
from service.schemas.base import MAX_SEQ, EncodingFormat
from service.schemas.sessions import StreamEvent

LONGEST_CHUNK = 65_536

router = APIRouter(tags=["sessions"])


async def stream_options(
    tags: IfMatch,
    chunk_chars: Annotated[int, Query(ge=1, le=LONGEST_CHUNK)] = 1000,
    first_seq: Annotated[int | None, Query(ge=0, le=MAX_SEQ)] = None,
    encoding_format: EncodingFormat = "float",
) -> StreamOptions:
    """Return how the stream is cut and answered."""
    return StreamOptions(chunk_chars, encoding_format, first_seq, tags)


@router.post(
    "/v1/sessions/{session_id}/stream",
    operation_id="stream_text",
    status_code=200,
    dependencies=[Depends(accepting), Depends(within_budget)],
    response_class=Response,
    responses={200: {"content": {NdjsonResponse.media_type: {"schema": reference(StreamEvent)}}}},
    openapi_extra=request_body("text/plain", {"type": "string"}),
)
async def stream_text(
    request: Request,
    services: Current,
    tenant: Tenant,
    session_id: SessionId,
    options: Annotated[StreamOptions, Depends(stream_options)],
) -> Response:
    """Split a text at sentences or whitespace and read it; one event per committed chunk.

    The answer begins while the text is still being sent, and the text is read no faster than it is
    encoded: a client has to read while it writes.
    """
    require_media_type(request.headers, "text/plain")
    if "idempotency-key" in request.headers:
        raise BadRequest(
            "invalid_request",
            "A stream has no Idempotency-Key; send first_seq, which makes it safe to send again.",
            "Idempotency-Key",
        )
    record = await services.catalog.get(tenant, session_id)
    stream = SessionStream(services, record, options, request.scope)
    return NdjsonResponse(await stream.begin(request.stream()))
