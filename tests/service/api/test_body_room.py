"""Many bodies at once, each of them small enough."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from starlette.types import Message

from service.api import answer_room
from service.api.body_room import BodyRoom
from service.config import LimitsConfig
from service.config_access import EdgeConfig
from service.errors import Unavailable
from tests.service.api.kit import Api, assert_problem
from tests.service.api.reading_kit import ReadingApi, begin

GET: dict[str, Any] = {
    "type": "http",
    "asgi": {"version": "3.0"},
    "http_version": "1.1",
    "method": "GET",
    "path": "/v1/sessions/s/export",
    "raw_path": b"/v1/sessions/s/export",
    "query_string": b"",
    "headers": [],
}
JSON = {"content-type": "application/json"}
BODY = json.dumps({"model": "infini", "input": "x" * 5000}).encode()


def test_room_is_shared_and_given_back():
    room = BodyRoom(100)
    with room.share() as one:
        one.take(60)
        with room.share() as other:
            with pytest.raises(Unavailable, match="as many bodies"):
                other.take(41)
            other.take(40)
            assert room.held == 100
        assert room.held == 60
    assert room.held == 0


def test_a_body_that_is_alone_has_room():
    room = BodyRoom(100)
    with room.share() as one:
        one.take(99)
        one.take(99)
    assert room.held == 0


async def in_two_parts(release: asyncio.Event) -> AsyncIterator[bytes]:
    yield BODY[:4000]
    await release.wait()
    yield BODY[4000:]


async def embed(client: httpx.AsyncClient, release: asyncio.Event) -> httpx.Response:
    return await client.post("/v1/embeddings", content=in_two_parts(release), headers=JSON)


async def test_bodies_beyond_the_room_are_refused_and_those_within_it_answered():
    api = Api(edge=EdgeConfig(held_bytes=10_000))
    room = api.app.state.body_room
    release = asyncio.Event()
    async with api.client() as client:
        held = [asyncio.ensure_future(embed(client, release)) for _ in range(2)]
        async with asyncio.timeout(5):
            while room.held < 8000:  # noqa: ASYNC110 - what is waited for is a number
                await asyncio.sleep(0.01)
        refused = await client.post("/v1/embeddings", content=BODY, headers=JSON)
        assert_problem(refused, 503, "overloaded")
        assert refused.headers["retry-after"] == "1"
        # The sessions' small bodies still find room, and a refused body takes none.
        made = await client.post("/v1/sessions", json={"model": "infini"})
        assert made.status_code == 201
        assert room.held == 8000
        held[0].cancel()
        release.set()
        assert (await held[1]).status_code == 200
        again = await client.post("/v1/embeddings", content=BODY, headers=JSON)
        assert again.status_code == 200
    assert room.held == 0


async def test_a_file_is_held_until_it_is_sent(monkeypatch):
    monkeypatch.setattr(answer_room, "SMALL_BYTES", 100)
    api = ReadingApi()
    room = api.app.state.body_room
    held: list[int] = []

    async def receive() -> Message:
        return {"type": "http.request"}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.body":
            held.append(room.held - len(message["body"]))

    async with api.client() as client:
        await begin(client)
        await api.app(GET, receive, send)
        assert held == [0]
        assert room.held == 0
        with room.share() as other:
            other.take(EdgeConfig().held_bytes)
            refused = await client.get("/v1/sessions/s/export")
    assert_problem(refused, 503, "overloaded")


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/v1/embeddings", b"{", 400),
        ("/v1/embeddings", b'{"model": "infini", "input": 1}', 422),
        ("/v1/embeddings", b"x" * 3000, 413),
        ("/v1/embeddings", json.dumps({"model": "infini", "input": "x"}).encode(), 200),
        ("/v1/sessions/import", b"no file", 415),
    ],
)
async def test_whatever_becomes_of_a_request_its_room_is_free_again(path, body, status):
    api = Api(limits=LimitsConfig(body_bytes=2000))
    async with api.client() as client:
        answer = await client.post(path, content=body, headers=JSON)
    assert answer.status_code == status
    assert api.app.state.body_room.held == 0
