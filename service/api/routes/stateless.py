"""`POST /v1/sessions/stateless`: a document whose state the client keeps."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response

from service.api.answers import chunk_json
from service.api.body import json_body
from service.api.dependencies import Context, Current, Tenant, accepting
from service.api.limits import at_most
from service.api.openapi import json_request
from service.api.quotas import within_budget
from service.api.stateless_answers import token_json
from service.api.vectors import encode_vector, json_response
from service.ports import ReadCommand
from service.schemas.copies import StatelessRequest, StatelessResponse
from service.sessions.state_tokens import TokenState

router = APIRouter(tags=["sessions"])


@router.post(
    "/v1/sessions/stateless",
    operation_id="append_stateless",
    dependencies=[Depends(accepting), Depends(within_budget)],
    responses={200: {"model": StatelessResponse}},
    openapi_extra=json_request(StatelessRequest),
)
async def append_stateless(
    body: Annotated[StatelessRequest, Depends(json_body(StatelessRequest))],
    services: Current,
    tenant: Tenant,
    context: Context,
) -> Response:
    """Read chunks into the state of a token, and return the next token; nothing is stored here.

    Begin with `POST /v1/sessions` and `"stateless": true`. The vectors are those that a stored session would give. A
    token is signed and yours alone; whoever goes on from the same one twice has two documents with one past.
    """
    at_most(services.limits.chunks, body.chunks, "chunks")
    state = services.tokens.read(tenant, body.state_token)
    command = ReadCommand(tuple(body.chunks), state.state, state.next_seq, state.fingerprint)
    result = await services.encoder(state.model).read(command)
    context.times += result.times
    context.charge(result.read_tokens)
    following = TokenState(state.model, state.fingerprint, result.next_seq, result.state)
    encoding = body.encoding_format
    answer: dict[str, Any] = {
        "object": "stateless_append",
        "model": state.model,
        "chunks": [chunk_json(chunk, encoding, body.members) for chunk in result.answers],
        "next_seq": result.next_seq,
        "tokens": result.tokens,
        **token_json(services.tokens.issue(tenant, following)),
    }
    if "document" in body.members:
        answer["document"] = {
            "embedding": encode_vector(result.document, encoding),
            "tokens": result.tokens,
            "next_seq": result.next_seq,
        }
    return json_response(answer, headers={"cache-control": "no-store"})
