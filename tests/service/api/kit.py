"""A whole API over fakes, in one process and without a network."""

import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import numpy as np
from fastapi import FastAPI
from numpy.typing import NDArray

from service.access import Door
from service.api.app import Services, create_app
from service.config import LimitsConfig
from service.config_access import EdgeConfig
from service.errors import Conflict, Gone, NotFound, PreconditionFailed, Unprocessable
from service.metrics import GatewayMetrics
from service.ports import ModelInfo, StageTimes
from service.sessions.beginnings import Begun, RequestKey, Wish
from service.sessions.copies import SessionCopies
from service.sessions.origins import NO_TRAITS, SessionTraits
from service.sessions.records import SessionRecord
from service.sessions.state_tokens import StateTokens
from service.sessions.stores import MemoryStore
from tests.service.api.fake import FakeEncoder
from tests.service.api.fake_vectors import fake_vector

STATELESS = ModelInfo("multi-head", "multi-head", 8, 16, 0, "a" * 64, "base")
INFINI = ModelInfo("infini", "infini", 8, 16, 304_128, "b" * 64, "base", "adapter", {"ndcg": 0.5})
TEXT = "Well, Prince, so Genoa and Lucca are now just family estates. " * 40
PLAIN = {"content-type": "text/plain; charset=utf-8"}
TIMES = StageTimes(tokenize=0.001, queue=0.002, infer=0.003, persist=0.004)


class FakeCatalog:
    """Sessions in a dictionary; how far each was read is asked of the fake encoder."""

    def __init__(self, encoder: FakeEncoder) -> None:
        self._encoder = encoder
        self._records: dict[str, SessionRecord | None] = {}

    async def begin(
        self, tenant: str, model: ModelInfo, wish: Wish, traits: SessionTraits = NO_TRAITS
    ) -> Begun:
        if model.memory_bytes == 0:
            raise Unprocessable("model_has_no_memory", "no memory", "model")
        name = wish.session_id or f"sess_{len(self._records)}"
        if name in self._records:
            raise Conflict("session_exists", "exists", "id")
        record = SessionRecord(
            tenant,
            name,
            "fake",
            model.id,
            model.fingerprint,
            "open",
            0,
            0,
            0,
            1.5,
            2.5,
            wish.metadata or "{}",
            3_120,
            ttl_seconds=wish.ttl_seconds,
        )
        self._records[name] = record
        return Begun(record, traits, replayed=False)

    async def replay(self, tenant: str, request: RequestKey | None) -> Begun | None:
        return None

    async def traits(self, tenant: str, session_ids: Sequence[str]) -> dict[str, SessionTraits]:
        return {}

    async def get(self, tenant: str, session_id: str) -> SessionRecord:
        if session_id not in self._records:
            raise NotFound("session_not_found", "unknown")
        record = self._records[session_id]
        if record is None:
            raise Gone("session_deleted", "deleted")
        read = self._encoder.session(tenant, session_id)
        return SessionRecord(
            tenant, session_id, "fake", record.model, record.fingerprint, "open",
            read.version, len(read.texts), read.tokens, 1.5, 2.5, record.metadata, 3_120,
            read.completed, record.ttl_seconds,
        )  # fmt: skip

    async def list(self, tenant: str, after: str | None, limit: int) -> list[SessionRecord]:
        names = sorted(name for name, record in self._records.items() if record is not None)
        return [await self.get(tenant, n) for n in names if after is None or n > after][:limit]

    async def count(self, tenant: str) -> int:
        return len(await self.list(tenant, None, 10_000))

    async def document(
        self, tenant: str, session_id: str
    ) -> tuple[SessionRecord, NDArray[np.float32]]:
        record = await self.get(tenant, session_id)
        read = self._encoder.session(tenant, session_id)
        return record, fake_vector(f"document {read.past}", INFINI.dimensions)

    async def complete(
        self, tenant: str, session_id: str, if_match: tuple[str, ...] | None = None
    ) -> SessionRecord:
        await self.get(tenant, session_id)
        self._encoder.session(tenant, session_id).complete(if_match)
        return await self.get(tenant, session_id)

    async def delete(
        self, tenant: str, session_id: str, if_match: tuple[str, ...] | None = None
    ) -> None:
        record = await self.get(tenant, session_id)
        if if_match is not None and not {record.etag, "*"} & set(if_match):
            raise PreconditionFailed("precondition_failed", "other version")
        self._records[session_id] = None


@dataclass
class Api:
    """The app, its fakes, and switches to make them fail."""

    limits: LimitsConfig = field(default_factory=LimitsConfig)
    gate: Callable[[], Awaitable[None]] | None = None
    draining: bool = False
    metrics: GatewayMetrics = field(default_factory=GatewayMetrics)
    door: Door = field(default_factory=Door)
    edge: EdgeConfig = field(default_factory=EdgeConfig)
    hosts: frozenset[str] | None = None

    def __post_init__(self) -> None:
        self.infini = FakeEncoder(INFINI, self._wait, TIMES)
        self.stateless = FakeEncoder(STATELESS, self._wait, TIMES)
        self.catalog = FakeCatalog(self.infini)
        self.services = Services(
            encoders={"multi-head": self.stateless, "infini": self.infini},
            catalog=self.catalog,
            copies=SessionCopies(MemoryStore(), self.limits.import_bytes),
            tokens=StateTokens(b"s" * 32, 60, time.time),
            limits=self.limits,
            metrics=self.metrics,
            scrape=self._scrape,
            draining=lambda: self.draining,
            door=self.door,
            edge=self.edge,
            hosts=self.hosts,
        )
        self.app: FastAPI = create_app(self.services)

    @asynccontextmanager
    async def client(self) -> AsyncIterator[httpx.AsyncClient]:
        transport = httpx.ASGITransport(self.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            yield client

    async def _wait(self) -> None:
        if self.gate is not None:
            await self.gate()

    async def _scrape(self) -> bytes:
        return self.metrics.exposition()


def assert_problem(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """Check everything an error must have and return it."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert body["error"]["code"] == code
    assert body["type"].endswith(code)
    assert body["status"] == status
    assert body["title"]
    assert isinstance(body["detail"], str)
    assert body["error"]["message"] == body["detail"]
    assert body["request_id"] == response.headers["x-request-id"]
    assert body["instance"].startswith("/")
    return body


async def post_stream(
    client: httpx.AsyncClient,
    body: bytes | AsyncIterator[bytes],
    query: str = "",
    headers: dict[str, str] | None = None,
) -> httpx.Response:
    """Send a text to the stream of session `s1`."""
    return await client.post(
        f"/v1/sessions/s1/stream{query}", content=body, headers=headers or PLAIN
    )


def events_of(response: httpx.Response) -> list[dict[str, Any]]:
    """Check that a stream was answered and return its events."""
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/x-ndjson"
    return [json.loads(line) for line in response.content.splitlines()]
