"""Limits of a key, as a client meets them."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from fastapi.routing import APIRoute

from service.access import Meters
from service.access.meters import Meter
from service.api.app import _ROUTERS
from service.api.context import RequestContext
from service.api.dependencies import accepting
from service.api.quotas import append_and_charge, within_budget
from service.api.tei_errors import TEI_PATHS
from service.config_access import RateLimits
from service.errors import READ_TOKENS, Gone, RateLimited
from service.ports import AppendCommand, AppendResult, EncoderPort
from service.sessions.catalog import SessionCatalog
from service.sessions.records import SessionRecord
from tests.service.access.clock import Clock
from tests.service.api.fake_states import SPECIAL_TOKENS
from tests.service.api.keys import Keys, bearer
from tests.service.api.kit import PLAIN, Api, assert_problem, events_of
from tests.service.api.reading_kit import FILE, ReadingApi, begin

EMBED = {"model": "infini", "input": "four words of text"}


@asynccontextmanager
async def limited(
    folder: Path, limits: RateLimits, clock: Callable[[], float] = time.monotonic
) -> AsyncIterator[httpx.AsyncClient]:
    keys = Keys(folder)
    key = keys.add("acme", limits)
    door = keys.door()
    door.meters = Meters(clock)
    async with Api(door=door).client() as client:
        client.headers.update(bearer(key))
        yield client


async def test_requests_per_second(tmp_path: Path):
    async with limited(tmp_path, RateLimits(requests_per_second=0.01)) as client:
        first = await client.get("/v1/models")
        assert first.status_code == 200
        assert first.headers["ratelimit-policy"] == '"requests";q=1;w=1'
        assert first.headers["ratelimit"] == '"requests";r=0;t=100'
        second = await client.get("/v1/models")
        body = assert_problem(second, 429, "rate_limited")
        assert body["limit"] == "requests_per_second"
        assert second.headers["retry-after"] == "100"
        assert (await client.get("/health/live")).status_code == 200


READINGS: list[tuple[str, dict[str, Any]]] = [
    ("/v1/embeddings", EMBED),
    ("/v1/encode", EMBED),
    ("/v1/attention", {"model": "infini", "input": "four words of text"}),
    ("/v1/sessions/s1/chunks", {"chunks": ["four words of text"]}),
    ("/v1/sessions/s1/query", {"texts": ["four words of text"]}),
    ("/v1/sessions/s1/complete", {"revisit": True, "first_seq": 0, "chunks": ["a b c d"]}),
    ("/v1/sessions/stateless", {"chunks": ["four words of text"]}),
    ("/v1/contextualizedembeddings", {"model": "infini", "inputs": [["four words"], ["of text"]]}),
    (
        "/v2/embed",
        {"model": "infini", "input_type": "search_query", "texts": ["four words of text"]},
    ),
    ("/embed", {"inputs": "four words of text"}),
    ("/embed", {"inputs": "four words of text", "normalize": False}),
    ("/embed_all", {"inputs": "four words of text"}),
    ("/similarity", {"inputs": {"source_sentence": "a b", "sentences": ["c d"]}}),
]


@pytest.mark.parametrize(("path", "body"), READINGS)
async def test_tokens_per_minute(tmp_path: Path, path, body):
    async with limited(tmp_path, RateLimits(tokens_per_minute=7)) as client:
        await client.post("/v1/sessions", json={"model": "infini", "id": "s1"})
        if path.endswith("complete"):
            await client.post("/v1/sessions/s1/chunks", json={"chunks": ["a b c d"]})
        if path.endswith("stateless"):
            begun = await client.post("/v1/sessions", json={"model": "infini", "stateless": True})
            body = {**body, "state_token": begun.json()["state_token"]}
        answers = [await client.post(path, json=body) for _ in range(4)]
        statuses = [answer.status_code for answer in answers]
        # What is left of the seven tokens lets one request in, or two; no more.
        assert statuses in ([200, 429, 429, 429], [200, 200, 429, 429])
        assert "tokens" in answers[0].headers["ratelimit-policy"]
        answer = answers[-1]
        if path in TEI_PATHS:
            assert answer.json()["error_type"] == "overloaded"
        else:
            problem = assert_problem(answer, 429, "rate_limited")
            assert problem["limit"] == "tokens_per_minute"
        assert 0 < int(answer.headers["retry-after"]) <= 180
        # What reads no text goes on.
        assert (await client.get("/v1/sessions/s1")).status_code == 200


BLANKS: list[tuple[str, dict[str, Any]]] = [
    ("/v1/sessions/s1/chunks", {"chunks": [" "] * 8}),
    ("/v1/sessions/s1/stream?chunk_chars=1", {"content": b" " * 8}),
    ("/v1/sessions/stateless", {"chunks": [""] * 8}),
    ("/v1/contextualizedembeddings", {"model": "infini", "inputs": [[""] * 4, [""] * 4]}),
]


@pytest.mark.parametrize(("path", "body"), BLANKS)
async def test_a_chunk_without_text_is_read_and_charged(tmp_path: Path, path, body):
    # Eight chunks of CLS and SEP.
    async with limited(tmp_path, RateLimits(tokens_per_minute=16), Clock()) as client:
        await client.post("/v1/sessions", json={"model": "infini", "id": "s1"})
        if path.endswith("stateless"):
            begun = await client.post("/v1/sessions", json={"model": "infini", "stateless": True})
            body = {**body, "state_token": begun.json()["state_token"]}
        if "content" in body:
            read = await client.post(path, content=body["content"], headers=PLAIN)
        else:
            read = await client.post(path, json=body)
        assert read.status_code == 200
        assert_problem(await client.post("/v1/embeddings", json=EMBED), 429, "rate_limited")


async def test_chunks_that_are_replayed_cost_nothing(tmp_path: Path):
    async with limited(tmp_path, RateLimits(tokens_per_minute=7), Clock()) as client:
        await client.post("/v1/sessions", json={"model": "infini", "id": "s1"})
        body = {"chunks": ["four words of text"], "first_seq": 0}
        answers = [await client.post("/v1/sessions/s1/chunks", json=body) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200] * 3


async def test_a_session_is_completed_whatever_was_encoded(tmp_path: Path):
    async with limited(tmp_path, RateLimits(tokens_per_minute=1)) as client:
        await client.post("/v1/sessions", json={"model": "infini", "id": "s1"})
        await client.post("/v1/sessions/s1/chunks", json={"chunks": ["four words of text"]})
        refused = await client.post("/v1/sessions/s1/chunks", json={"chunks": ["more"]})
        assert refused.status_code == 429
        assert (await client.post("/v1/sessions/s1/complete")).status_code == 200


async def test_a_stream_is_slowed_down_and_not_broken_off(tmp_path: Path, monkeypatch):
    clock = Clock()

    async def sleep(seconds: float) -> None:
        clock.seconds += seconds

    async with limited(tmp_path, RateLimits(tokens_per_minute=5), clock) as client:
        await client.post("/v1/sessions", json={"model": "infini", "id": "s1"})
        monkeypatch.setattr(asyncio, "sleep", sleep)
        answer = await client.post(
            "/v1/sessions/s1/stream?chunk_chars=20", content=b"a b c d e. " * 10, headers=PLAIN
        )
        *chunks, done = events_of(answer)
    assert done["event"] == "done"
    # Five tokens are there at once, then one comes every twelve seconds; the last chunk is waited for, not paid off.
    tokens = sum(event["tokens"] + SPECIAL_TOKENS for event in chunks[:-1])
    assert clock.seconds == pytest.approx((tokens - 5 + 1) * 12, abs=1)


async def test_a_stream_that_is_slowed_down_ends_with_the_process(tmp_path: Path, monkeypatch):
    keys = Keys(tmp_path)
    key = keys.add("acme", RateLimits(tokens_per_minute=5))
    api = Api(door=keys.door())

    async def sleep(_seconds: float) -> None:
        api.draining = True

    async with api.client() as client:
        client.headers.update(bearer(key))
        await client.post("/v1/sessions", json={"model": "infini", "id": "s1"})
        monkeypatch.setattr(asyncio, "sleep", sleep)
        answer = await client.post(
            "/v1/sessions/s1/stream?chunk_chars=20", content=b"a b c d e. " * 10, headers=PLAIN
        )
    *chunks, error = events_of(answer)
    assert len(chunks) == 1
    assert error["error"]["code"] == "draining"
    assert error["next_seq"] == 1


async def test_a_thousand_appends_that_fail_midway_read_no_more_than_the_quota(
    tmp_path: Path, monkeypatch
):
    keys = Keys(tmp_path)
    key = keys.add("acme", RateLimits(tokens_per_minute=100))
    door = keys.door()
    door.meters = Meters(Clock())
    api = Api(door=door)
    asked = []

    async def failing(command: AppendCommand) -> AppendResult:
        asked.append(command)
        raise Gone("session_deleted", "deleted meanwhile", extras={READ_TOKENS: 4, "next_seq": 1})

    async with api.client() as client:
        client.headers.update(bearer(key))
        await client.post("/v1/sessions", json={"model": "infini", "id": "s1"})
        monkeypatch.setattr(api.infini, "append", failing)
        path, body = "/v1/sessions/s1/chunks", {"chunks": ["four words of text", "x"]}
        answers = [await client.post(path, json=body) for _ in range(1000)]
        streamed = await client.post("/v1/sessions/s1/stream", content=b"a b c d", headers=PLAIN)
    assert [answer.status_code for answer in answers] == [410] * 25 + [429] * 975
    assert answers[0].json()[READ_TOKENS] == 4
    assert streamed.status_code == 429
    assert len(asked) == 25


@pytest.mark.parametrize("chunks", [("x" * 200, "y" * 200), ("",) * 50])
async def test_who_leaves_pays_by_the_length_of_the_text(chunks: tuple[str, ...]):
    meter = Meter(RateLimits(tokens_per_minute=100), Clock())
    context = RequestContext("r", meter=meter)

    class Hanging:
        async def append(self, command: AppendCommand) -> AppendResult:
            await asyncio.sleep(60)
            raise AssertionError(command)

    command = AppendCommand("acme", "s1", chunks)
    task = asyncio.create_task(append_and_charge(context, cast("EncoderPort", Hanging()), command))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(RateLimited):
        meter.require_tokens()


async def test_open_sessions(tmp_path: Path):
    async with limited(tmp_path, RateLimits(open_sessions=3)) as client:
        made = await asyncio.gather(
            *(client.post("/v1/sessions", json={"model": "infini"}) for _ in range(10))
        )
        assert sorted(answer.status_code for answer in made) == [201] * 3 + [429] * 7
        refused = next(answer for answer in made if answer.status_code == 429)
        body = assert_problem(refused, 429, "rate_limited")
        assert body["limit"] == "open_sessions"
        assert refused.headers["retry-after"] == "300"
        (one, *_) = (await client.get("/v1/sessions")).json()["data"]
        await client.delete(f"/v1/sessions/{one['id']}")
        again = await client.post("/v1/sessions", json={"model": "infini"})
        assert again.status_code == 201


async def test_sessions_are_counted_and_not_read(tmp_path: Path, monkeypatch):
    async def listed(*_: object) -> list[SessionRecord]:
        raise AssertionError("a begin must not read the sessions there are")

    keys = Keys(tmp_path)
    headers = bearer(keys.add("acme", RateLimits(open_sessions=1)))
    async with ReadingApi(door=keys.door()).client() as client:
        client.headers.update(headers)
        monkeypatch.setattr(SessionCatalog, "list", listed)
        await begin(client)
        refused = await client.post("/v1/sessions", json={"model": "fake"})
        assert_problem(refused, 429, "rate_limited")


async def test_every_way_to_begin_a_session_needs_room(tmp_path: Path):
    keys = Keys(tmp_path)
    headers = bearer(keys.add("acme", RateLimits(open_sessions=2)))
    async with ReadingApi(door=keys.door()).client() as client:
        client.headers.update(headers)
        await begin(client, index=True)
        file = (await client.get("/v1/sessions/s/export")).content
        first = await _begin_by(client, "fork", file, "kept")
        assert first.status_code == 201
        for way in WAYS:
            body = assert_problem(await _begin_by(client, way, file, way), 429, "rate_limited")
            assert body["limit"] == "open_sessions"
        again = await _begin_by(client, "fork", file, "kept")
        assert again.json() == {**first.json(), "replayed": True}
        stateless = await client.post("/v1/sessions", json={"model": "fake", "stateless": True})
        assert stateless.status_code == 201
        newest = first.json()["id"]
        for way in WAYS:
            await client.delete(f"/v1/sessions/{newest}")
            made = await asyncio.gather(
                *(_begin_by(client, way, file, f"{way}-{i}") for i in range(4))
            )
            assert sorted(answer.status_code for answer in made) == [201] + [429] * 3
            [newest] = (answer.json()["id"] for answer in made if answer.status_code == 201)


WAYS = ("create", "fork", "import")


async def _begin_by(client: httpx.AsyncClient, way: str, file: bytes, key: str) -> httpx.Response:
    headers = {"idempotency-key": key}
    if way == "create":
        body = {"model": "fake", "index": True}
        return await client.post("/v1/sessions", json=body, headers=headers)
    if way == "fork":
        return await client.post("/v1/sessions/s/fork", headers=headers)
    return await client.post("/v1/sessions/import", content=file, headers=headers | FILE)


FREE = {
    "/v1/sessions",
    "/v1/sessions/{session_id}/fork",
    "/v1/sessions/import",
    "/v1/sessions/{session_id}/memory",
    "/v1/sessions/{session_id}/complete",  # only a second look encodes, and asks for itself
    "/v1/tokenize",
    "/tokenize",
}
"""Routes that take work and encode no text of the caller's."""


def test_every_route_that_encodes_looks_at_the_budget():
    routes = [route for router in _ROUTERS for route in router.routes]
    working = {
        route.path: {dependency.dependency for dependency in route.dependencies}
        for route in routes
        if isinstance(route, APIRoute)
        and accepting in {dependency.dependency for dependency in route.dependencies}
    }
    assert set(working) > FREE
    for path, dependencies in working.items():
        assert (within_budget in dependencies) == (path not in FREE), path
