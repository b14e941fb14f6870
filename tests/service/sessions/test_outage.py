"""A Redis server that stops answering, under a whole API: only calls to sessions fail, soon, and nothing is lost."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace

import httpx
import pytest

from service.api.app import Services, create_app
from service.config import LimitsConfig
from service.config_sessions import SessionsConfig
from service.metrics import GatewayMetrics
from service.ports import AppendCommand, AppendResult
from service.sessions.appender import Appender
from service.sessions.catalog import SessionCatalog
from service.sessions.copies import SessionCopies
from service.sessions.hot import HotStates
from service.sessions.session_file import MEDIA_TYPE
from service.sessions.state_tokens import StateTokens
from service.sessions.stateless import StatelessReader
from service.sessions.stores import serving_store
from tests.service.api.fake import FakeEncoder
from tests.service.api.kit import assert_problem
from tests.service.sessions.fakes import INFO, FakeReader
from tests.service.sessions.watching import Lag

MODEL = replace(INFO, id="infini")


class ReadingEncoder(FakeEncoder):
    """Appends as a replica does; everything else without a model and without a store."""

    appender: Appender

    async def append(self, command: AppendCommand) -> AppendResult:
        return await self.appender.append(command)

    async def verify(self, state: bytes) -> None:
        await StatelessReader(FakeReader(), MODEL).verify(state)


@pytest.fixture
async def client(redis_url, tmp_path) -> AsyncIterator[httpx.AsyncClient]:
    metrics, settings = GatewayMetrics("redis"), SessionsConfig(store=redis_url)
    async with (
        serving_store(settings, tmp_path, metrics) as ours,
        serving_store(settings, tmp_path, metrics) as theirs,
    ):
        encoder = ReadingEncoder(MODEL)
        encoder.appender = Appender(theirs, FakeReader(), MODEL, HotStates(1 << 20))

        async def scrape() -> bytes:
            return metrics.exposition()

        app = create_app(
            Services(
                encoders={"infini": encoder},
                catalog=SessionCatalog(ours, observer=metrics),
                copies=SessionCopies(ours, 1 << 20, observer=metrics),
                tokens=StateTokens(b"s" * 32, 60, time.time),
                limits=LimitsConfig(),
                metrics=metrics,
                scrape=scrape,
                draining=lambda: False,
            )
        )
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as opened:
            yield opened


async def append(client: httpx.AsyncClient, seq: int) -> httpx.Response:
    body = {"first_seq": seq, "chunks": [f"chunk number {seq}"]}
    return await client.post("/v1/sessions/s/chunks", json=body)


async def fork(client: httpx.AsyncClient) -> httpx.Response:
    return await client.post("/v1/sessions/s/fork", json={})


async def adopt(client: httpx.AsyncClient, file: bytes) -> httpx.Response:
    headers = {"content-type": MEDIA_TYPE}
    return await client.post("/v1/sessions/import", content=file, headers=headers)


async def begin_again(client: httpx.AsyncClient) -> httpx.Response:
    """Send a request that begins a session, once more."""
    headers = {"idempotency-key": "k"}
    return await client.post("/v1/sessions", json={"model": "infini", "id": "t"}, headers=headers)


async def embed(client: httpx.AsyncClient) -> httpx.Response:
    return await client.post("/v1/embeddings", json={"model": "infini", "input": "x"})


async def test_a_store_that_hangs_and_comes_back(client, redis_server):
    created = await client.post("/v1/sessions", json={"model": "infini", "id": "s"})
    assert created.status_code == 201, created.text
    before = [(await append(client, seq)).json()["chunks"][0] for seq in range(5)]
    file = (await client.get("/v1/sessions/s/export")).content
    assert (await begin_again(client)).json()["replayed"] is False
    redis_server.pause()
    try:
        began = time.monotonic()
        async with Lag() as lag:
            refused = await asyncio.gather(*(append(client, 5) for _ in range(8)))
        assert time.monotonic() - began - lag.total < 2.5
        for answer in refused:
            assert_problem(answer, 503, "store_unavailable")
            assert int(answer.headers["retry-after"]) >= 1
        began = time.monotonic()
        async with Lag() as lag:
            answer = await append(client, 5)
        assert time.monotonic() - began - lag.total < 0.5
        assert "is not asked now" in assert_problem(answer, 503, "store_unavailable")["detail"]
        for copy in (
            fork(client),
            begin_again(client),
            client.get("/v1/sessions/s/export"),
            adopt(client, file),
        ):
            assert_problem(await copy, 503, "store_unavailable")
        assert (await embed(client)).status_code == 200
        assert 'store_circuit_open{backend="redis"} 1.0' in (await client.get("/metrics")).text
    finally:
        redis_server.resume()
    for _ in range(50):
        again = await append(client, 5)
        if again.status_code == 200:
            break
        await asyncio.sleep(0.2)
    assert again.status_code == 200, again.text
    for seq in range(6, 9):
        assert (await append(client, seq)).status_code == 200
    replayed = [(await append(client, seq)).json()["chunks"][0] for seq in range(5)]
    assert replayed == [chunk | {"replayed": True} for chunk in before]
    assert (await begin_again(client)).json()["replayed"] is True
    assert (await fork(client)).json()["next_seq"] == 9
    assert (await adopt(client, file)).json()["next_seq"] == 5
    session = (await client.get("/v1/sessions/s")).json()
    assert (session["next_seq"], session["tokens"]) == (9, 27)
    assert 'store_circuit_open{backend="redis"} 0.0' in (await client.get("/metrics")).text
