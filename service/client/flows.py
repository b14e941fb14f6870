"""One flow per operation of the API; see `service.client.core`."""

import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Final

from service.client.core import Answer, Call, Flow, RetryPolicy, encoded_json, exchange, parsed
from service.client.encoding_results import Embeddings, Model
from service.client.errors import (
    Gone,
    LongstreamError,
    NotFound,
    ProtocolError,
    Unavailable,
    invalid,
)
from service.client.paths import model_path, query_text, session_path
from service.client.results import (
    AppendResult,
    Document,
    Session,
    SessionPage,
)

BASE64: Final = "base64"
_NO_RETRY: Final = RetryPolicy(retry_for_s=0.0)


def models(retry: RetryPolicy) -> Flow[tuple[Model, ...]]:
    """List the served models."""
    answer = yield from exchange(Call("GET", "/v1/models"), retry)
    return parsed(answer, lambda body: tuple(Model.of(item) for item in body["data"]))


def model(model_id: str, retry: RetryPolicy) -> Flow[Model]:
    """Describe one model."""
    answer = yield from exchange(Call("GET", model_path(model_id)), retry)
    return parsed(answer, Model.of)


def embed(
    texts: Sequence[str], model_id: str, retry: RetryPolicy, *, truncate: bool
) -> Flow[Embeddings]:
    """Encode texts without a session."""
    body: dict[str, Any] = {
        "model": model_id,
        "input": listed(texts),
        "encoding_format": BASE64,
    }
    if truncate:
        body["truncate"] = True
    answer = yield from exchange(Call("POST", "/v1/embeddings", body=encoded_json(body)), retry)
    return parsed(answer, Embeddings.of)


def create_session(
    model_id: str,
    session_id: str | None,
    metadata: Mapping[str, Any] | None,
    retry: RetryPolicy,
    *,
    index: bool,
    ttl_seconds: int | None,
) -> Flow[Session]:
    """Open a session; its key makes it safe to ask again for an answer that was lost."""
    name = f"session-{uuid.uuid4().hex}" if session_id is None else session_id
    body: dict[str, Any] = {"model": model_id, "id": name}
    if metadata is not None:
        body["metadata"] = as_object(metadata)
    if index:
        body["index"] = True
    if ttl_seconds is not None:
        body["ttl_seconds"] = ttl_seconds
    # A retry is given the session that the lost answer told of, and never one that somebody else began.
    key = f"create-{uuid.uuid4().hex}"
    call = Call("POST", "/v1/sessions", body=encoded_json(body), idempotency_key=key)
    answer = yield from exchange(call, retry)
    return parsed(answer, Session.of)


def session(session_id: str, retry: RetryPolicy) -> Flow[Session]:
    """Describe a session."""
    answer = yield from exchange(Call("GET", session_path(session_id)), retry)
    return parsed(answer, Session.of)


def next_seq(session_id: str, retry: RetryPolicy) -> Flow[int]:
    """Ask which sequence number a session waits for."""
    try:
        answer = yield from exchange(Call("HEAD", session_path(session_id)), retry)
    except (NotFound, Gone):
        # An answer to HEAD has no body: GET says why.
        found = yield from session(session_id, retry)
        return found.next_seq
    value = answer.response.headers.get("Next-Seq", "")
    if not value.isdecimal():
        raise ProtocolError(
            answer.response.status_code, "unexpected_answer", f"Next-Seq is no number: {value!r}"
        )
    return int(value)


def sessions(limit: int, after: str | None, retry: RetryPolicy) -> Flow[SessionPage]:
    """List some of the caller's sessions."""
    params: dict[str, str | int] = {"limit": limit}
    if after is not None:
        params["after"] = query_text(after, "after")
    answer = yield from exchange(Call("GET", "/v1/sessions", params=params), retry)
    return parsed(answer, SessionPage.of)


def append(
    session_id: str,
    chunks: Sequence[str],
    first_seq: int,
    retry: RetryPolicy,
    *,
    document: bool,
) -> Flow[AppendResult]:
    """Read chunks into a session; `first_seq` makes the call safe to repeat."""
    body: dict[str, Any] = {
        "first_seq": first_seq,
        "chunks": listed(chunks),
        "return": ["embedding", "tokens", *(["document"] if document else [])],
        "encoding_format": BASE64,
    }
    call = Call("POST", session_path(session_id, "/chunks"), body=encoded_json(body))
    answer = yield from exchange(call, retry)
    result = parsed(answer, AppendResult.of)
    seqs = [chunk.seq for chunk in result.chunks]
    if seqs != list(range(first_seq, first_seq + len(body["chunks"]))):
        raise ProtocolError(
            answer.response.status_code,
            "unexpected_answer",
            f"{len(body['chunks'])} chunks from {first_seq} on came back as {seqs}",
        )
    return result


def document(session_id: str, retry: RetryPolicy) -> Flow[Document]:
    """Return the running document vector."""
    call = Call("GET", session_path(session_id, "/embedding"), params={"encoding_format": BASE64})
    answer = yield from exchange(call, retry)
    return parsed(answer, Document.of)


def delete(session_id: str, retry: RetryPolicy) -> Flow[None]:
    """Delete a session."""
    try:
        yield from exchange(Call("DELETE", session_path(session_id)), retry)
    except Gone as gone:
        # After a lost answer, finding it deleted is what we asked for.
        if gone.code != "session_deleted" or not _was_repeated(gone):
            raise


def ready() -> Flow[bool]:
    """Ask once whether the service can take work; not answering means no."""
    try:
        yield from exchange(Call("GET", "/health/ready"), _NO_RETRY)
    except LongstreamError as error:
        if error.status is None or isinstance(error, Unavailable):
            return False
        raise
    return True


def metrics(retry: RetryPolicy) -> Flow[str]:
    """Return the metrics in Prometheus' text format."""
    answer: Answer = yield from exchange(Call("GET", "/metrics"), retry)
    return answer.response.text


def stream_call(session_id: str, chunk_chars: int | None, first_seq: int | None) -> Call:
    """Describe the request of a stream, which is made once: its text may not be there twice."""
    params: dict[str, str | int] = {"encoding_format": BASE64}
    if chunk_chars is not None:
        params["chunk_chars"] = chunk_chars
    if first_seq is not None:
        params["first_seq"] = first_seq
    return Call("POST", session_path(session_id, "/stream"), repeatable=False, params=params)


def _was_repeated(error: LongstreamError) -> bool:
    return int(error.problem["attempts"]) > 1


def listed(texts: Sequence[str]) -> list[str]:
    """Return the texts as a list; a lone string is one text, not its characters."""
    if isinstance(texts, str):
        return [texts]
    try:
        return list(texts)
    except TypeError as error:
        raise invalid(f"not a sequence of texts: {error}") from error


def as_object(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return the caller's own JSON object as a dictionary."""
    try:
        return dict(metadata)
    except (TypeError, ValueError) as error:
        raise invalid(f"metadata is no object: {error}") from error
