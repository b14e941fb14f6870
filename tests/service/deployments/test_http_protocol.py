"""A connection under a hostile sender, over sockets."""

import asyncio
import contextlib
import json

import pytest
from starlette.types import Receive, Scope, Send

from service.config_access import EdgeConfig
from service.deployments import http_protocol
from tests.service.deployments.test_http_server import SlowApp, exchange, running

POST = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n"
GET = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"


class LargeApp(SlowApp):
    """Answers with more than any socket takes without a reader."""

    size = 32 * 1024**2

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        length = str(self.size).encode()
        headers = [(b"content-length", length)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": bytes(self.size)})


class ReadingApp(SlowApp):
    """Reads the body of /read, and tells how that ended."""

    def __init__(self) -> None:
        super().__init__()
        self.ended: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == "/read":
            more = True
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    self.ended.append("disconnected")
                    return
                more = message.get("more_body", False)
            self.ended.append("read")
        await super().__call__(scope, receive, send)


def problem(answer: bytes) -> dict[str, object]:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"application/problem+json" in head
    assert b"x-content-type-options: nosniff" in head
    document: dict[str, object] = json.loads(body)
    assert f"x-request-id: {document['request_id']}".encode() in head
    return document


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"HELO\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: x\r\nhost: y\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
    ],
)
async def test_what_is_no_http_gets_a_problem_document(data: bytes) -> None:
    async with running(SlowApp()) as (_, port):
        answer = await exchange(port, data)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert problem(answer)["status"] == 400


async def test_a_body_that_turns_into_garbage_is_a_client_that_left() -> None:
    app = ReadingApp()
    head = b"POST /read HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
    async with running(app) as (_, port):
        answer = await exchange(port, head, b"2\r\nab\r\n", b"zz\r\n", pause=0.05)
        assert problem(answer)["status"] == 400
        await asyncio.sleep(0.05)
    assert app.ended == ["disconnected"]


async def test_the_rest_of_an_answered_body_is_taken_for_a_moment_only() -> None:
    async def drip(writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(b"x")
            await asyncio.sleep(0.05)

    async with running(SlowApp(), edge=EdgeConfig(linger_seconds=0.2)) as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(POST)
        assert (await reader.readuntil(b"done")).startswith(b"HTTP/1.1 200")
        dripping = asyncio.ensure_future(drip(writer))
        # Without an end to it the read would go on for as long as the drip does.
        with contextlib.suppress(ConnectionError):
            await asyncio.wait_for(reader.read(), 10)
        dripping.cancel()
        writer.close()


async def test_a_short_rest_is_taken_and_the_connection_goes_on() -> None:
    head = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\n"
    async with running(SlowApp(), edge=EdgeConfig(linger_seconds=0.3)) as (_, port):
        last = GET.replace(b"host", b"connection: close\r\nhost")
        answer = await exchange(port, head, b"12", b"345", last, pause=0.1)
    assert answer.count(b"200 OK") == 2


@pytest.mark.parametrize("pipelined", [True, False], ids=["pipelined", "behind a rest"])
async def test_the_time_for_the_rest_of_one_body_does_not_run_for_the_next(pipelined: bool) -> None:  # noqa: FBT001 - a parameter of the test
    app = ReadingApp()
    first = GET if pipelined else POST.replace(b"1000000", b"5")
    head = b"POST /read HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 10\r\n\r\n"
    async with running(app, edge=EdgeConfig(linger_seconds=0.2)) as (_, port):
        parts = [first + head] if pipelined else [first, b"12345" + head]
        answer = await exchange(port, *parts, *[b"x"] * 10, pause=0.05)
    assert answer.count(b"200 OK") == 2
    assert app.ended == ["read"]


@pytest.mark.parametrize(
    ("began", "status"),
    [
        (POST.replace(b"host", b"connection: close\r\nhost"), b"200"),
        (POST.replace(b"1000000", b"5, 6"), b"400"),
        (b"GET / HTTP/1.1\r\nx-long: " + b"a" * 2 * EdgeConfig().head_bytes, b"431"),
    ],
    ids=["early answer", "no HTTP", "large head"],
)
async def test_who_is_still_sending_gets_the_answer_that_closes(
    began: bytes, status: bytes
) -> None:
    async with running(SlowApp()) as (_, port):
        parts = [b"x" * 2**16] * 20
        answer = await exchange(port, began, *parts, pause=0.01)
    assert answer.startswith(b"HTTP/1.1 " + status)
    assert b"connection: close" in answer.lower()


async def test_who_does_not_stop_sending_is_closed_all_the_same() -> None:
    close = POST.replace(b"host", b"connection: close\r\nhost")
    async with running(SlowApp(), edge=EdgeConfig(linger_seconds=0.2)) as (server, port):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(close)
        connections = server._server.server_state.connections
        await asyncio.sleep(0.05)
        assert len(connections) == 1
        async with asyncio.timeout(2):
            while connections:
                writer.write(b"x")
                await asyncio.sleep(0.02)
        writer.transport.abort()


async def test_half_a_head_after_a_request_is_cut_off() -> None:
    async with running(SlowApp(), edge=EdgeConfig(head_seconds=0.2)) as (_, port):
        answer = await asyncio.wait_for(exchange(port, GET + b"GET / HT"), 2)
    assert answer.count(b"200 OK") == 1


async def test_too_many_connections_are_told_so_and_the_others_served() -> None:
    app = SlowApp()
    async with running(app, edge=EdgeConfig(connections=2)) as (_, port):
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
        for _, writer in held:
            writer.write(GET.replace(b" / ", b" /slow "))
        await asyncio.sleep(0.05)
        answer = await exchange(port)
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"retry-after: 1" in answer
        assert problem(answer)["error"]["code"] == "overloaded"  # type: ignore[index] # JSON
        app.release.set()
        for reader, _ in held:
            assert b"done" in await reader.readuntil(b"done")
        held[1][1].close()
        await asyncio.sleep(0.05)
        close = GET.replace(b"host", b"connection: close\r\nhost")
        assert (await exchange(port, close)).startswith(b"HTTP/1.1 200")
        held[0][1].close()


@pytest.mark.parametrize(
    "began", [b"", GET, GET[:-2], POST], ids=["silent", "answered", "head", "body"]
)
async def test_connections_without_an_open_request_do_not_keep_others_out(began: bytes) -> None:
    close = GET.replace(b"host", b"connection: close\r\nhost")
    async with running(SlowApp(), edge=EdgeConfig(connections=2)) as (_, port):
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
        held[0][1].write(began)
        held[1][1].write(began)
        await asyncio.sleep(0.05)
        held[0][1].write(GET if began == GET else b"")
        await asyncio.sleep(0.05)
        # Of those that were answered, the one that asked last stays.
        closed, kept = (held[1], held[0]) if began == GET else (held[0], held[1])
        assert (await exchange(port, close)).startswith(b"HTTP/1.1 200")
        async with asyncio.timeout(2):
            await closed[0].read()
            if began in {b"", GET}:
                kept[1].write(close)
                assert b"\r\ndone\r\n" in await kept[0].read()
        for _, writer in held:
            writer.close()


async def test_an_answer_that_nobody_takes_is_dropped() -> None:
    async with running(LargeApp(), edge=EdgeConfig(unread_seconds=0.2)) as (server, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(GET)
        await reader.readuntil(b"HTTP/1.1 200 OK")
        # From here on the client takes what its buffer holds, and no more.
        connections = server._server.server_state.connections
        async with asyncio.timeout(5):
            while connections:  # noqa: ASYNC110 - uvicorn has no event
                await asyncio.sleep(0.02)
        taken = 0
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(2**20):
                taken += len(data)
        writer.close()
    assert taken < LargeApp.size


async def test_an_answer_that_is_taken_slowly_is_sent_to_its_end() -> None:
    async with running(LargeApp(), edge=EdgeConfig(unread_seconds=0.2)) as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(GET)
        await reader.readuntil(b"\r\n\r\n")
        taken = 0
        while taken < LargeApp.size:
            taken += len(await reader.read(2**18))
            if taken % 2**20 < 2**18:
                await asyncio.sleep(0.02)
        writer.close()
    assert taken == LargeApp.size


async def test_little_of_a_large_answer_waits_in_the_connection_and_its_app_waits_too() -> None:
    app = LargeApp()
    async with running(app) as (server, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(GET)
        await reader.readuntil(b"HTTP/1.1 200 OK")
        await asyncio.sleep(0.2)
        state = server._server.server_state
        (connection,) = state.connections
        assert connection.transport.get_write_buffer_size() <= 256 * 1024
        assert len(state.tasks) == 1
        writer.transport.abort()
        async with asyncio.timeout(2):
            while state.tasks:  # noqa: ASYNC110 - uvicorn has no event
                await asyncio.sleep(0.02)


async def test_an_answer_that_is_taken_just_fast_enough_for_its_next_piece_is_cut_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http_protocol, "LEAST_PER_SECOND", 10 * LargeApp.size)
    async with running(LargeApp(), edge=EdgeConfig(unread_seconds=0.4)) as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(GET)
        taken = 0
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(2**17):
                taken += len(data)
                await asyncio.sleep(0.02)
        writer.close()
    assert 2**18 < taken < LargeApp.size
