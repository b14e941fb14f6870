"""A small faithful service in memory: the session routes of the contract, with faults on request."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

import httpx

from models.chunking import split_text
from tests.service.client import fake_copies, fake_sessions, fake_tokens
from tests.service.client.vectors import DIMENSIONS, encoded, vector_of

Fault = Callable[[httpx.Request], httpx.Response | None]
"""Looks at a request before the service does: answers in its place, raises, or lets it pass by None."""


@dataclass
class FakeSession:
    model: str
    status: str = "open"
    texts: list[str] = field(default_factory=list)
    answers: list[dict[str, Any]] = field(default_factory=list)
    completed: bool = False
    index: bool = False
    forked: tuple[str, int] | None = None
    ttl_seconds: int | None = None

    @property
    def tokens(self) -> int:
        return sum(len(text.split()) for text in self.texts)


@dataclass
class FakeService:
    """Attributes say what it holds; `faults` act first to last, each on one request."""

    sessions: dict[str, FakeSession] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    requests: list[httpx.Request] = field(default_factory=list)
    lose_answers: int = 0
    keys: dict[str, str] = field(default_factory=dict)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        if self.faults and (answer := self.faults.pop(0)(request)) is not None:
            return answer
        response = self._route(request)
        if request.method == "HEAD":
            response = httpx.Response(response.status_code, headers=response.headers, content=b"")
        response.headers["X-Request-Id"] = f"r{len(self.requests)}"
        if self.lose_answers:
            self.lose_answers -= 1
            raise httpx.ReadError("connection reset", request=request)
        return response

    def _route(self, request: httpx.Request) -> httpx.Response:
        path = request.url.raw_path.decode().split("?")[0]
        if path == "/v1/sessions/import":
            return fake_copies.adopt(self, FakeSession(""), request)
        if path == "/v1/sessions/stateless":
            return fake_copies.append_stateless(request)
        below = re.fullmatch(r"/v1/sessions/([^/]+)(/\w+)?", path)
        if below is not None:
            return self._in_session(request, unquote(below[1]), below[2] or "")
        if path == "/v1/sessions":
            return self._create(request) if request.method == "POST" else self._list(request)
        if path in fake_tokens.ROUTES:
            return fake_tokens.ROUTES[path](json.loads(request.content))
        return stateless(request, path)

    def _create(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        if body.get("stateless"):
            return fake_copies.begin_stateless(body)
        key = request.headers["Idempotency-Key"]
        if body["id"] in self.sessions and self.keys.get(key) != body["id"]:
            return problem(409, "session_exists")
        if key in self.keys:
            return httpx.Response(201, json=self.describe(self.keys[key], body.get("metadata")))
        self.keys[key] = body["id"]
        self.sessions[body["id"]] = FakeSession(
            body["model"], index=body.get("index", False), ttl_seconds=body.get("ttl_seconds")
        )
        return httpx.Response(201, json=self.describe(body["id"], body.get("metadata")))

    def _list(self, request: httpx.Request) -> httpx.Response:
        params = request.url.params
        known = [key for key in sorted(self.sessions) if key > params.get("after", "")]
        page = known[: int(params["limit"])]
        more = len(known) > len(page)
        data = [self.describe(key) for key in page]
        following = page[-1] if more else None
        return httpx.Response(200, json={"data": data, "has_more": more, "next_after": following})

    def _in_session(self, request: httpx.Request, session_id: str, below: str) -> httpx.Response:
        session = self.sessions.get(session_id)
        if session is None:
            return problem(404, "session_not_found")
        if session.status != "open":
            return problem(410, f"session_{session.status}")
        if request.method == "DELETE":
            session.status = "deleted"
            return httpx.Response(204)
        answers: dict[tuple[str, str], Callable[[], httpx.Response]] = {
            ("HEAD", ""): lambda: httpx.Response(
                200, headers={"Next-Seq": str(len(session.texts))}
            ),
            ("GET", ""): lambda: httpx.Response(200, json=self.describe(session_id)),
            ("GET", "/embedding"): lambda: httpx.Response(
                200, json=fake_sessions.document(session)
            ),
            ("POST", "/chunks"): lambda: append(session_id, session, json.loads(request.content)),
            ("POST", "/stream"): lambda: stream(session, request),
            ("POST", "/complete"): lambda: fake_sessions.complete(
                session, json.loads(request.content), lambda: self.describe(session_id)
            ),
            ("POST", "/query"): lambda: fake_sessions.query(session, json.loads(request.content)),
            ("POST", "/fork"): lambda: fake_copies.fork(self, session_id, request),
            ("GET", "/export"): lambda: fake_copies.export(session, request),
            ("GET", "/memory"): lambda: fake_copies.memory(session),
        }
        return answers[request.method, below]()

    def describe(self, session_id: str, metadata: Any = None) -> dict[str, Any]:
        session = self.sessions[session_id]
        fork = session.forked and {"id": session.forked[0], "at_seq": session.forked[1]}
        return {
            "object": "session",
            "id": session_id,
            "model": session.model,
            "status": session.status,
            "completed": session.completed,
            "next_seq": len(session.texts),
            "tokens": session.tokens,
            "memory_bytes": 4096,
            "state_bytes": 5000,
            "created_at": 1.5,
            "updated_at": 2.5,
            "ttl_seconds": session.ttl_seconds,
            "expires_at": None if session.ttl_seconds is None else 2.5 + session.ttl_seconds,
            "metadata": metadata or {},
            "index": session.index,
            "forked_from": fork,
            "etag": f"e.{len(session.texts)}",
        }


def stateless(request: httpx.Request, path: str) -> httpx.Response:
    card = model_card("infini")
    match path:
        case "/v1/models":
            return httpx.Response(200, json={"object": "list", "data": [card]})
        case "/v1/models/infini":
            return httpx.Response(200, json=card)
        case "/v1/embeddings":
            return embeddings(json.loads(request.content))
        case "/health/ready":
            return httpx.Response(200, json={"status": "ready"})
        case "/metrics":
            return httpx.Response(200, text="longstream_build_info 1\n")
    return problem(404, "model_not_found")


def model_card(name: str) -> dict[str, Any]:
    return {
        "id": name,
        "object": "model",
        "attention": name,
        "dimensions": DIMENSIONS,
        "max_chunk_tokens": 256,
        "memory_bytes": 4096,
        "fingerprint": "f" * 64,
        "base": "minilm",
        "checkpoint": None,
        "evaluation": {"stsb": 0.8},
        "precision": "bf16",
    }


def problem(status: int, code: str, **extras: Any) -> httpx.Response:
    body = {"title": "T", "status": status, "detail": f"about {code}", "error": {"code": code}}
    return httpx.Response(status, json=body | extras)


def embeddings(body: dict[str, Any]) -> httpx.Response:
    form = body.get("encoding_format", "float")
    data = [
        {"index": i, "embedding": encoded(vector_of(text), form)}
        for i, text in enumerate(body["input"])
    ]
    usage = {"prompt_tokens": 5, "truncated_tokens": 2 if body.get("truncate") else 0}
    return httpx.Response(200, json={"data": data[::-1], "usage": usage})


def append(session_id: str, session: FakeSession, body: dict[str, Any]) -> httpx.Response:
    first = body.get("first_seq", len(session.texts))
    if first > len(session.texts):
        return problem(
            409, "sequence_conflict", expected_seq=len(session.texts), provided_seq=first
        )
    answers = []
    for seq, text in enumerate(body["chunks"], first):
        answer = read(session, seq, text)
        if answer is None:
            code = "session_completed" if session.completed else "sequence_conflict"
            return problem(409, code, next_seq=len(session.texts))
        answers.append(answer)
    result = {
        "object": "append",
        "session_id": session_id,
        "model": session.model,
        "chunks": answers,
        "next_seq": len(session.texts),
        "replayed": all(answer["replayed"] for answer in answers),
    }
    if "document" in body.get("return", ()):
        result["document"] = fake_sessions.document(session)
    return httpx.Response(200, json=result)


def read(session: FakeSession, seq: int, text: str) -> dict[str, Any] | None:
    if seq < len(session.texts):
        same = session.texts[seq] == text
        return session.answers[seq] | {"replayed": True} if same else None
    if session.completed:
        return None
    start = session.tokens
    session.texts.append(text)
    session.answers.append(
        {
            "seq": seq,
            "embedding": encoded(vector_of(*session.texts), "base64"),
            "tokens": session.tokens - start,
            "token_range": [start, session.tokens],
            "replayed": False,
        }
    )
    return session.answers[seq]


def stream(session: FakeSession, request: httpx.Request) -> httpx.Response:
    params = request.url.params
    text = request.content.decode()
    lines: list[dict[str, Any]] = []
    start = 0
    first = int(params.get("first_seq", len(session.texts)))
    for seq, chunk in enumerate(split_text(text, int(params.get("chunk_chars", 1000))), first):
        answer = read(session, seq, chunk)
        if answer is None:
            error = problem(409, "sequence_conflict", next_seq=len(session.texts)).json()
            lines.append({"event": "error"} | error)
            break
        text_range = [start, start + len(chunk)]
        lines.append({"event": "chunk", "text_range": text_range} | answer)
        start += len(chunk)
    else:
        tokens = sum(line["tokens"] for line in lines)
        done = {"chunks": len(lines), "next_seq": len(session.texts), "tokens": tokens}
        lines.append({"event": "done"} | done)
    body = "".join(json.dumps(line) + "\n" for line in lines)
    return httpx.Response(200, text=body, headers={"Content-Type": "application/x-ndjson"})


def refuse(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("refused", request=request)


def busy(_request: httpx.Request) -> httpx.Response:
    return problem(503, "draining")
