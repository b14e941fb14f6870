"""The flows of forks, files, and sessions that are stored nowhere; see `service.client.flows`.

Beginning a session is safe to repeat by its key: an answer that got lost is asked for again, not a second session.
"""

import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Final

from service.client.copy_results import MemoryDescription, StatelessResult, StatelessState
from service.client.core import Call, Flow, RetryPolicy, encoded_json, exchange, parsed
from service.client.errors import invalid
from service.client.flows import BASE64, as_object, listed
from service.client.paths import query_text, session_path
from service.client.results import Session

FILE_TYPE: Final = "application/vnd.longstream.session"


def fork(
    session_id: str,
    new_id: str | None,
    at_seq: int | None,
    metadata: Mapping[str, Any] | None,
    retry: RetryPolicy,
    *,
    ttl_seconds: int | None,
) -> Flow[Session]:
    """Begin a session that shares another's past."""
    body: dict[str, Any] = {"id": new_id, "at_seq": at_seq, "ttl_seconds": ttl_seconds}
    body = {name: value for name, value in body.items() if value is not None}
    if metadata is not None:
        body["metadata"] = as_object(metadata)
    path = session_path(session_id, "/fork")
    call = Call("POST", path, body=encoded_json(body), idempotency_key=_key())
    answer = yield from exchange(call, retry)
    return parsed(answer, Session.of)


def export_session(session_id: str, retry: RetryPolicy, *, answers: bool) -> Flow[bytes]:
    """Return a session as a file."""
    params = {"answers": "true" if answers else "false"}
    call = Call("GET", session_path(session_id, "/export"), params=params)
    answer = yield from exchange(call, retry)
    return answer.response.content


def import_session(
    data: bytes, session_id: str | None, retry: RetryPolicy, *, ttl_seconds: int | None
) -> Flow[Session]:
    """Begin a session from a file."""
    if not isinstance(data, bytes):
        raise invalid(f"a session's file is bytes, not {type(data).__name__}")
    params = {} if session_id is None else {"id": query_text(session_id, "id")}
    if ttl_seconds is not None:
        params["ttl_seconds"] = str(ttl_seconds)
    call = Call(
        "POST",
        "/v1/sessions/import",
        params=params,
        body=data,
        media_type=FILE_TYPE,
        idempotency_key=_key(),
    )
    answer = yield from exchange(call, retry)
    return parsed(answer, Session.of)


def begin_stateless(model_id: str, retry: RetryPolicy) -> Flow[StatelessState]:
    """Begin a session that is stored nowhere."""
    body = {"model": model_id, "stateless": True}
    answer = yield from exchange(Call("POST", "/v1/sessions", body=encoded_json(body)), retry)
    return parsed(answer, StatelessState.of)


def append_stateless(
    token: str, chunks: Sequence[str], retry: RetryPolicy, *, document: bool
) -> Flow[StatelessResult]:
    """Read chunks into a session that is stored nowhere."""
    body = {
        "state_token": token,
        "chunks": listed(chunks),
        "return": ["embedding", "tokens", *(["document"] if document else [])],
        "encoding_format": BASE64,
    }
    call = Call("POST", "/v1/sessions/stateless", body=encoded_json(body))
    answer = yield from exchange(call, retry)
    return parsed(answer, StatelessResult.of)


def memory(session_id: str, retry: RetryPolicy) -> Flow[MemoryDescription]:
    """Describe what a session's memory holds."""
    answer = yield from exchange(Call("GET", session_path(session_id, "/memory")), retry)
    return parsed(answer, MemoryDescription.of)


def _key() -> str:
    return uuid.uuid4().hex
