"""The flows of what a session is asked beside appends; see `service.client.flows`."""

from collections.abc import Sequence
from typing import Any

from service.client.core import Call, Flow, RetryPolicy, encoded_json, exchange, parsed
from service.client.errors import ProtocolError
from service.client.flows import BASE64, listed
from service.client.paths import session_path
from service.client.results import Session
from service.client.session_results import QueryResult, SecondLook


def complete(session_id: str, retry: RetryPolicy) -> Flow[Session]:
    """Let a session take no more chunks; doing it twice is doing it once."""
    call = Call("POST", session_path(session_id, "/complete"), body=encoded_json({}))
    answer = yield from exchange(call, retry)
    return parsed(answer, lambda body: Session.of(body["session"]))


def second_look(
    session_id: str, chunks: Sequence[str], first_seq: int, retry: RetryPolicy
) -> Flow[SecondLook]:
    """Complete a session and encode chunks of it against the memory of the whole document."""
    texts = listed(chunks)
    body = {
        "revisit": True,
        "first_seq": first_seq,
        "chunks": texts,
        "encoding_format": BASE64,
    }
    call = Call("POST", session_path(session_id, "/complete"), body=encoded_json(body))
    answer = yield from exchange(call, retry)
    result = parsed(answer, SecondLook.of)
    seqs = [chunk.seq for chunk in result.chunks]
    if seqs != list(range(first_seq, first_seq + len(texts))):
        raise ProtocolError(
            answer.response.status_code,
            "unexpected_answer",
            f"{len(texts)} chunks from {first_seq} on came back as {seqs}",
        )
    return result


def query(
    session_id: str, texts: Sequence[str], top_k: int | None, retry: RetryPolicy
) -> Flow[QueryResult]:
    """Ask a session."""
    body: dict[str, Any] = {"texts": listed(texts), "encoding_format": BASE64}
    if top_k is not None:
        body["top_k"] = top_k
    call = Call("POST", session_path(session_id, "/query"), body=encoded_json(body))
    answer = yield from exchange(call, retry)
    return parsed(answer, QueryResult.of)
