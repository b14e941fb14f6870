"""The hostile corpus against the whole HTTP stack over fakes: server, edge, keys and routes."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import psutil
import pytest
from structlog.testing import capture_logs

from loadtests.hostile import CORPUS
from loadtests.hostile.case import CLOSED, Case, get
from loadtests.hostile.runner import Outcome, Target, play, play_all
from service.config_access import EdgeConfig
from service.deployments.address import shared_socket
from service.deployments.http_server import HttpServer
from tests.service.api.keys import Keys, bearer
from tests.service.api.kit import Api

PATIENCE_S = 60.0
"""Far above the second that the command allows: a machine that is busy with other tests is no hang."""
GROWTH_BYTES = 16 * 1024**2
HOSTS = frozenset({"127.0.0.1"})


@pytest.fixture
async def target(tmp_path: Path) -> AsyncIterator[Target]:
    keys = Keys(tmp_path)
    key = keys.add("acme")
    api = Api(door=keys.door(), edge=EdgeConfig(linger_seconds=0.5), hosts=HOSTS)
    listener = shared_socket("127.0.0.1", 0)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    server = HttpServer(api.app, listener, 5, api.edge)
    await server.start()
    async with httpx.AsyncClient(base_url=url, headers=bearer(key)) as client:
        made = await client.post("/v1/sessions", json={"model": "infini", "id": "s1"})
        assert made.status_code == 201
        yield Target(url, key, "s1", PATIENCE_S)
        answer = await client.post("/v1/embeddings", json={"model": "infini", "input": "x"})
        assert answer.status_code == 200
        metrics = (await client.get("/metrics")).text
    await server.stop()
    answered = re.findall(r'http_requests_total\{code="5\d\d".*', metrics)
    assert answered == []


def test_the_corpus_is_a_corpus():
    assert len(CORPUS) >= 80
    assert len({case.name for case in CORPUS}) == len(CORPUS)


async def test_nothing_breaks_and_nothing_stays(target: Target):
    with capture_logs() as logs:
        first = await play_all(CORPUS, target)
        before = psutil.Process().memory_info().rss
        second = await play_all(CORPUS, target)
        grown = psutil.Process().memory_info().rss - before
    assert {one.name: one.faults for one in first + second if one.faults} == {}
    assert grown < GROWTH_BYTES
    assert "unhandled_error" not in str(logs)


async def test_many_at_once(target: Target):
    small = [case for case in CORPUS if sum(map(len, case.parts)) < 20_000]
    at_once = asyncio.Semaphore(32)

    async def take(case: Case) -> Outcome:
        async with at_once:
            return await play(case, target)

    outcomes = await asyncio.gather(*map(take, small))
    assert {one.name: one.faults for one in outcomes if one.faults} == {}


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (b"HTTP/1.1 500 X\r\ncontent-length: 0\r\n\r\n", "a server error"),
        (b"HTTP/1.1 404 X\r\ncontent-length: 0\r\n\r\n", "an error of type None"),
        (b"HTTP/1.1 200 X\r\nx-injected: 1\r\ncontent-length: 0\r\n\r\n", "a header was injected"),
        (b"HTTP/1.1 200 X\r\ncontent-length: 0\r\n\r\n" * 2, "2 answers, at most 1 expected"),
        (b"HTTP/1.1 201 X\r\ncontent-length: 0\r\n\r\n", "answered 201"),
        (b"garbage\r\n\r\n", "the answer is no HTTP"),
        (b"", f"answered {CLOSED}"),
        (None, "no end after"),
    ],
)
async def test_the_runner_sees_what_is_wrong(answer: bytes | None, fault: str):
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        if answer is None:
            await asyncio.sleep(1)
        writer.write(answer or b"")
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        target = Target(f"http://127.0.0.1:{port}", None, "s", 5.0 if answer is not None else 0.2)
        outcome: Outcome = await play(Case("x", (get(b"/"),), frozenset({200, 404, 500})), target)
    assert any(fault in found for found in outcome.faults), outcome
