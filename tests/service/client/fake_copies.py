"""What the fake service answers about forks, files, states that clients keep, and memories."""

import copy
import json
from typing import TYPE_CHECKING, Any

import httpx

from tests.service.client.vectors import encoded, vector_of

if TYPE_CHECKING:  # the fake service imports this module
    from tests.service.client.fake import FakeService, FakeSession

FILE_TYPE = "application/vnd.longstream.session"


def begin(service: "FakeService", request: httpx.Request, made: "FakeSession", name: str) -> Any:
    """Begin a session, or find the one that the request's key began."""
    key = request.headers["Idempotency-Key"]
    replayed = key in service.keys
    if not replayed and name in service.sessions:
        error = {"detail": "taken", "error": {"code": "session_exists"}}
        return httpx.Response(409, json=error)
    if not replayed:
        service.keys[key] = name
        service.sessions[name] = made
    body = {**service.describe(service.keys[key]), "replayed": replayed}
    return httpx.Response(201, json=body)


def fork(service: "FakeService", session_id: str, request: httpx.Request) -> httpx.Response:
    body = json.loads(request.content)
    parent = service.sessions[session_id]
    at = body.get("at_seq", len(parent.texts))
    if at > len(parent.texts):
        error = {"detail": "not kept", "error": {"code": "snapshot_not_kept"}}
        return httpx.Response(409, json=error | {"available": [len(parent.texts)]})
    made = copy.deepcopy(parent)
    made.texts, made.answers, made.forked = made.texts[:at], made.answers[:at], (session_id, at)
    name = body.get("id", f"fork-{len(service.sessions)}")
    answer: httpx.Response = begin(service, request, made, name)
    return answer


def export(session: "FakeSession", request: httpx.Request) -> httpx.Response:
    answers = session.answers if request.url.params["answers"] == "true" else []
    data = json.dumps([session.model, session.texts, answers]).encode()
    return httpx.Response(200, content=data, headers={"Content-Type": FILE_TYPE})


def adopt(service: "FakeService", made: "FakeSession", request: httpx.Request) -> httpx.Response:
    if request.headers["Content-Type"] != FILE_TYPE:
        return httpx.Response(415, json={"error": {"code": "unsupported_media_type"}})
    try:
        made.model, made.texts, made.answers = json.loads(request.content)
    except ValueError:
        return httpx.Response(422, json={"error": {"code": "invalid_session_file"}})
    name = request.url.params.get("id", f"import-{len(service.sessions)}")
    answer: httpx.Response = begin(service, request, made, name)
    return answer


def begin_stateless(body: dict[str, Any]) -> httpx.Response:
    state = {"model": body["model"], "state_token": "[]", "expires_at": 99}
    kind = {"object": "stateless_session", "next_seq": 0, "tokens": 0}
    return httpx.Response(201, json=state | kind)


def append_stateless(request: httpx.Request) -> httpx.Response:
    body = json.loads(request.content)
    texts = json.loads(body["state_token"])
    answers = []
    for text in body["chunks"]:
        start = sum(len(each.split()) for each in texts)
        texts.append(text)
        answers.append(
            {
                "seq": len(texts) - 1,
                "embedding": encoded(vector_of(*texts), body["encoding_format"]),
                "tokens": len(text.split()),
                "token_range": [start, start + len(text.split())],
                "replayed": False,
            }
        )
    tokens = sum(len(each.split()) for each in texts)
    result: dict[str, Any] = {
        "model": "infini",
        "chunks": answers,
        "state_token": json.dumps(texts),
        "expires_at": 99,
        "next_seq": len(texts),
        "tokens": tokens,
    }
    if "document" in body["return"]:
        vector = encoded(vector_of("document", *texts), body["encoding_format"])
        result["document"] = {"embedding": vector, "tokens": tokens, "next_seq": len(texts)}
    return httpx.Response(200, json=result)


def memory(session: "FakeSession") -> httpx.Response:
    """Describe: the model `forgetful` has gates and no parts above, others the opposite."""
    gated = session.model == "forgetful"
    parts = [
        {
            "name": "matrix",
            "shape": [1, 2, 4, 4],
            "axes": ["layer", "head"],
            "norm": [[1.0, 2.0]],
            "effective_rank": [[3.0, 4.0]],
            "saturation": [[0.5, 0.25]],
        },
        {
            "name": "reader.segments",
            "shape": [1],
            "axes": [],
            "norm": 2.0,
            "effective_rank": None,
            "saturation": None,
        },
    ]
    body = {
        "object": "memory",
        "next_seq": len(session.texts),
        "tokens_seen": session.tokens,
        "memory_bytes": 4096,
        "layers": [3],
        "gates": [[0.25, 0.5]] if gated else None,
        "parts": parts,
        "reader": None if gated else {"segments": 2},
        "recall": None if gated else {"numbers": 1.5},
    }
    return httpx.Response(200, json=body)
