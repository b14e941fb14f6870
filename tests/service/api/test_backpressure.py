"""Streams on a connection held by hand: who waits for whom, and what happens when one side leaves."""

import asyncio
import json

import pytest
from starlette.types import Message, Scope

from tests.service.api.kit import TEXT, Api


class Wire:
    """An ASGI connection by hand: messages out one at a time, messages in as they come."""

    def __init__(
        self, api: Api, query: bytes = b"chunk_chars=100", *, broken: bool = False
    ) -> None:
        self.inbox: asyncio.Queue[Message] = asyncio.Queue()
        self.outbox: asyncio.Queue[Message] = asyncio.Queue()
        self.pulled = 0
        scope: Scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "POST",
            "path": "/v1/sessions/s1/stream",
            "raw_path": b"/v1/sessions/s1/stream",
            "query_string": query,
            "headers": [(b"content-type", b"text/plain")],
            "root_path": "",
            "scheme": "http",
            "server": ("test", 80),
            "client": ("test", 1),
        }
        self.task = asyncio.ensure_future(api.app(scope, self._receive, self._send))
        self._broken = broken

    async def _receive(self) -> Message:
        message = await self.inbox.get()
        self.pulled += 1
        return message

    async def _send(self, message: Message) -> None:
        if self._broken:
            raise OSError("connection reset")
        await self.outbox.put(message)

    def say(self, text: str) -> None:
        self.inbox.put_nowait({"type": "http.request", "body": text.encode(), "more_body": True})

    async def hear(self) -> Message:
        return await asyncio.wait_for(self.outbox.get(), 5)


async def _settle() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


@pytest.mark.usefixtures("session")
async def test_the_body_is_pulled_no_faster_than_it_is_encoded(api):
    turns = asyncio.Semaphore(0)
    waiting = asyncio.Semaphore(0)

    async def gate() -> None:
        waiting.release()
        await turns.acquire()

    api.gate = gate
    wire = Wire(api)
    for _ in range(1000):
        wire.say("One sentence of some sixty characters stands in every piece. " * 2)
    for appends in range(10):
        await asyncio.wait_for(waiting.acquire(), 5)
        await _settle()
        # Each piece settles a chunk; the first is kept back until its window is full.
        assert wire.pulled <= appends + 2
        assert len(api.infini.session("public", "s1").texts) >= appends
        turns.release()
    wire.task.cancel()
    await asyncio.gather(wire.task, return_exceptions=True)


@pytest.mark.usefixtures("session")
async def test_events_go_out_while_the_text_still_comes_in(api):
    wire = Wire(api)
    wire.say(TEXT)
    head = await wire.hear()
    assert head["status"] == 200
    first = await wire.hear()
    assert first["more_body"] is True
    assert json.loads(first["body"].splitlines()[0])["seq"] == 0
    assert not wire.task.done()
    wire.inbox.put_nowait({"type": "http.request", "body": b"", "more_body": False})
    await asyncio.wait_for(wire.task, 5)


@pytest.mark.usefixtures("session")
async def test_a_client_that_leaves_keeps_what_was_committed(api, capsys):
    wire = Wire(api)
    wire.say(TEXT)
    await wire.hear()
    wire.inbox.put_nowait({"type": "http.disconnect"})
    await asyncio.wait_for(wire.task, 5)
    assert api.infini.session("public", "s1").texts
    assert "client_disconnected" in capsys.readouterr().out
    messages = [wire.outbox.get_nowait() for _ in range(wire.outbox.qsize())]
    assert all(b"done" not in message["body"] for message in messages)


@pytest.mark.usefixtures("session")
async def test_a_connection_that_breaks_ends_the_stream_quietly(api, capsys):
    wire = Wire(api, broken=True)
    wire.say(TEXT)
    await asyncio.wait_for(wire.task, 5)
    log = capsys.readouterr().out
    assert "client_disconnected" in log
    assert "unhandled_error" not in log
