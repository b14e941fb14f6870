"""The API over real sessions: real store, catalog, appends, forks and files; only the model is a fake."""

import itertools
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from service.access import Door
from service.api.app import Services, create_app
from service.config import LimitsConfig
from service.metrics import GatewayMetrics
from service.ports import (
    AppendCommand,
    AppendResult,
    ModelInfo,
    ReadCommand,
    ReadResult,
    RevisitCommand,
    RevisitResult,
)
from service.sessions.appender import Appender
from service.sessions.catalog import SessionCatalog
from service.sessions.copies import SessionCopies
from service.sessions.hot import HotStates
from service.sessions.lifetimes import FOREVER, Lifetimes
from service.sessions.retention import Retention
from service.sessions.revisits import Revisits
from service.sessions.session_file import MEDIA_TYPE
from service.sessions.state_tokens import StateTokens
from service.sessions.stateless import StatelessReader
from service.sessions.stores import MemoryStore, SessionStore
from tests.service.api.fake import FakeEncoder
from tests.service.sessions.fakes import INFO, FakeReader

CHUNKS = ["one two three", "four", "five six", "seven eight nine ten"]
FILE = {"content-type": MEDIA_TYPE}


class ReadingEncoder(FakeEncoder):
    """Everything about sessions is real but the vectors; the rest is the fake's."""

    def __init__(
        self,
        store: SessionStore,
        info: ModelInfo,
        retention: Retention,
        clock: Callable[[], float],
    ) -> None:
        super().__init__(info)
        self.reader = FakeReader()
        self.appender = Appender(
            store, self.reader, info, HotStates(1 << 20), retention=retention, clock=clock
        )
        self.stateless = StatelessReader(self.reader, info)
        self.revisits = Revisits(self.appender.tools)

    async def append(self, command: AppendCommand) -> AppendResult:
        return await self.appender.append(command)

    async def revisit(self, command: RevisitCommand) -> RevisitResult:
        return await self.revisits.revisit(command)

    async def read(self, command: ReadCommand) -> ReadResult:
        return await self.stateless.read(command)

    async def verify(self, state: bytes) -> None:
        await self.stateless.verify(state)


@dataclass
class ReadingApi:
    """One service; give it the store of another and it is another gateway of the same."""

    store: SessionStore = field(default_factory=MemoryStore)
    limits: LimitsConfig = field(default_factory=LimitsConfig)
    info: ModelInfo = INFO
    retention: Retention = field(default_factory=lambda: Retention(snapshots=2, snapshot_every=2))
    secret: bytes = b"s" * 32
    clock: Callable[[], float] = time.time
    door: Door = field(default_factory=Door)
    lifetimes: Lifetimes = FOREVER

    def __post_init__(self) -> None:
        self.metrics = GatewayMetrics()
        self.encoder = ReadingEncoder(self.store, self.info, self.retention, self.clock)
        self.services = Services(
            encoders={self.info.id: self.encoder},
            catalog=SessionCatalog(self.store, self.clock, self.metrics, self.lifetimes),
            copies=SessionCopies(
                self.store, self.limits.import_bytes, self.clock, self.metrics, self.lifetimes
            ),
            tokens=StateTokens(self.secret, 60, self.clock),
            limits=self.limits,
            metrics=self.metrics,
            scrape=self._scrape,
            draining=lambda: False,
            door=self.door,
        )
        self.app = create_app(self.services)

    @asynccontextmanager
    async def client(self) -> AsyncIterator[httpx.AsyncClient]:
        transport = httpx.ASGITransport(self.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            yield client

    async def _scrape(self) -> bytes:
        return self.metrics.exposition()


async def begin(client: httpx.AsyncClient, name: str = "s", **options: Any) -> dict[str, Any]:
    """Begin a session over HTTP."""
    answer = await client.post("/v1/sessions", json={"model": INFO.id, "id": name, **options})
    assert answer.status_code == 201, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def append(
    client: httpx.AsyncClient, name: str, *chunks: str, first: int = 0
) -> list[dict[str, Any]]:
    """Append chunks one request each, and return their answers."""
    found = []
    for seq, chunk in zip(itertools.count(first), chunks, strict=False):
        answer = await client.post(
            f"/v1/sessions/{name}/chunks", json={"chunks": [chunk], "first_seq": seq}
        )
        assert answer.status_code == 200, answer.text
        found += answer.json()["chunks"]
    return found


def vectors(answers: list[dict[str, Any]]) -> list[list[float]]:
    """Return the vectors of answers, to be compared bit for bit: decimals are the shortest that give the bits back."""
    return [answer["embedding"] for answer in answers]
