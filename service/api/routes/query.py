"""`POST /v1/sessions/{id}/query`: questions to a session."""

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response

from service.api.answers import usage_json
from service.api.body import json_body
from service.api.dependencies import Context, Current, SessionId, Tenant, accepting
from service.api.limits import at_most
from service.api.openapi import json_request
from service.api.quotas import within_budget
from service.api.vectors import encode_vector, json_response
from service.ports import NearChunk, QueryAnswer, QueryCommand
from service.schemas.base import EncodingFormat
from service.schemas.query import QueryRequest, QueryResponse

router = APIRouter(tags=["sessions"])


@router.post(
    "/v1/sessions/{session_id}/query",
    operation_id="query_session",
    dependencies=[Depends(accepting), Depends(within_budget)],
    responses={200: {"model": QueryResponse}},
    openapi_extra=json_request(QueryRequest),
)
async def query_session(
    body: Annotated[QueryRequest, Depends(json_body(QueryRequest))],
    services: Current,
    tenant: Tenant,
    session_id: SessionId,
    context: Context,
) -> Response:
    """Encode questions, and recall what the session remembers for them; the session stays as it is.

    A question is encoded with an empty memory: its vector is that of a plain query, so that an index of chunk vectors,
    of this session and of others, is searched with one kind of vector. Encoded against the memory it would fit this
    session alone, and change with every chunk. Only `recall` reads the memory; it is null where a model cannot.
    A session with an index is searched too, exactly, among the newest of its committed chunks (`searched` says which).
    """
    at_most(services.limits.texts, body.texts, "texts")
    record = await services.catalog.get(tenant, session_id)
    command = QueryCommand(tenant, session_id, tuple(body.texts), body.top_k)
    result = await services.session_encoder(record).query(command)
    context.times += result.times
    context.charge(result.read_tokens)
    answer = {
        "object": "query",
        "session_id": session_id,
        "model": record.model,
        "data": [
            _answer_json(index, one, body.encoding_format)
            for index, one in enumerate(result.answers)
        ],
        "next_seq": result.next_seq,
        "searched": result.searched,
        "usage": usage_json(result.read_tokens),
    }
    return json_response(answer, headers={"etag": f'"{result.etag}"', "cache-control": "no-store"})


def _answer_json(index: int, answer: QueryAnswer, encoding: EncodingFormat) -> dict[str, Any]:
    return {
        "index": index,
        "embedding": encode_vector(answer.embedding, encoding),
        "tokens": answer.tokens,
        "recall": None if answer.recall is None else asdict(answer.recall),
        "nearest": None if answer.nearest is None else list(map(_near_json, answer.nearest)),
    }


def _near_json(chunk: NearChunk) -> dict[str, Any]:
    place = [chunk.token_start, chunk.token_start + chunk.tokens]
    return {"seq": chunk.seq, "score": chunk.score, "token_range": place}
