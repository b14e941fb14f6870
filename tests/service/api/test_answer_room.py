"""Answers that wait for their clients: counted, and refused where there is no room and no harm in that."""

from typing import Any

import httpx
import pytest
from starlette.types import Message, Receive, Scope, Send

from service.api import answer_room
from service.api.answer_room import SMALL_BYTES, AnswerRoomApp
from service.api.body_room import BodyRoom
from service.api.context import RequestContext
from tests.service.api.kit import Api, assert_problem

LARGE = SMALL_BYTES + 1
JSON = {"model": "infini", "input": "x"}


async def receive() -> Message:
    return {"type": "http.request"}


async def sent(
    room: BodyRoom, messages: list[Message], method: str = "POST", path: str = "/v1/embeddings"
) -> tuple[list[Message], list[int]]:
    """Return what passes of an answer, and what the room held at each message."""

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        for message in messages:
            await send(message)

    passed: list[Message] = []
    held: list[int] = []

    async def send(message: Message) -> None:
        passed.append(message)
        held.append(room.held)

    scope: dict[str, Any] = {"type": "http", "method": method, "path": path, "headers": []}
    RequestContext("a-request").attach(scope)
    await AnswerRoomApp(app, room)(scope, receive, send)
    return passed, held


def answer(*sizes: int) -> list[Message]:
    last = len(sizes) - 1
    bodies: list[Message] = [
        {"type": "http.response.body", "body": bytes(size), "more_body": index < last}
        for index, size in enumerate(sizes)
    ]
    return [{"type": "http.response.start", "status": 200, "headers": []}, *bodies]


async def test_a_large_answer_is_held_while_it_is_sent_and_a_small_one_is_not_counted():
    room = BodyRoom(10 * LARGE)
    for size, held in ((LARGE, LARGE), (SMALL_BYTES, 0)):
        whole = answer(size)
        assert await sent(room, whole) == (whole, [held, held])
        assert room.held == 0


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/v1/embeddings"), ("GET", "/v1/sessions/s/export"), ("HEAD", "/v1/sessions")],
)
async def test_without_room_an_answer_that_changed_nothing_is_refused(method, path):
    room = BodyRoom(LARGE)
    with room.share() as other:
        other.take(1)
        passed, held = await sent(room, answer(LARGE), method, path)
    assert passed[0]["status"] == 503
    assert held == [1, 1]


@pytest.mark.parametrize("path", ["/v1/sessions/s/chunks", "/v1/sessions"])
async def test_an_answer_to_a_change_is_counted_and_never_refused(path):
    room = BodyRoom(LARGE)
    with room.share() as other:
        other.take(1)
        whole = answer(LARGE)
        assert await sent(room, whole, "POST", path) == (whole, [LARGE + 1] * 2)
    assert room.held == 0


async def test_what_has_begun_is_sent_to_its_end():
    room = BodyRoom(LARGE)
    with room.share() as other:
        other.take(1)
        whole = answer(10, LARGE)
        assert (await sent(room, whole))[0] == whole


async def test_the_room_is_that_of_the_bodies(monkeypatch):
    monkeypatch.setattr(answer_room, "SMALL_BYTES", 10)
    api = Api()
    room = api.app.state.body_room
    async with api.client() as client:
        assert (await client.post("/v1/embeddings", json=JSON)).status_code == 200
        with room.share() as other:
            # Room for the body, and for no answer.
            other.take(api.edge.held_bytes - len(httpx.Request("POST", "/", json=JSON).content))
            refused = await client.post("/v1/embeddings", json=JSON)
            assert_problem(refused, 503, "overloaded")
            assert refused.headers["retry-after"] == "1"
    assert room.held == 0
