"""Streams over a real socket, where both directions are busy at the same time."""

import asyncio
import json
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
import uvicorn

from service.client import (
    AsyncLongstreamClient,
    LongstreamClient,
    NotFound,
    RetryPolicy,
    StreamDone,
    StreamEvent,
    TransportError,
)
from service.client.duplex import DuplexTransport

Message = MutableMapping[str, Any]
App = Callable[
    [Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Any
]

VECTOR = "AACAPw=="  # base64 of [1.0]
PADDING = "x" * 20_000


def line(event: str, **members: Any) -> bytes:
    return json.dumps({"event": event} | members).encode() + b"\n"


def chunk_line(seq: int) -> bytes:
    return line(
        "chunk",
        seq=seq,
        embedding=VECTOR,
        tokens=1,
        token_range=[seq, seq + 1],
        replayed=False,
        text_range=[seq, seq + 1],
        padding=PADDING,
    )


async def echo(_scope: Message, receive: Any, send: Any) -> None:
    """Answer each byte of the body by an event far larger, before reading on: as much back-pressure as can be."""
    headers = [(b"content-type", b"application/x-ndjson")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    seq = 0
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        for _ in message["body"]:
            await send({"type": "http.response.body", "body": chunk_line(seq), "more_body": True})
            seq += 1
        more = message["more_body"]
    done = line("done", chunks=seq, next_seq=seq, tokens=seq)
    await send({"type": "http.response.body", "body": done})


async def refuse(_scope: Message, _receive: Any, send: Any) -> None:
    """Answer without reading the body."""
    body = json.dumps({"error": {"code": "session_not_found"}, "detail": "no"}).encode()
    length = [(b"content-length", str(len(body)).encode()), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 404, "headers": length})
    await send({"type": "http.response.body", "body": body})


async def silence(_scope: Message, receive: Any, _send: Any) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


@contextmanager
def served(app: App) -> Iterator[str]:
    config = uvicorn.Config(
        app, host="127.0.0.1", port=0, log_level="error", lifespan="off", ws="none"
    )
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


def blocking(url: str, pieces: Any, timeout_s: float = 20) -> list[StreamEvent]:
    with LongstreamClient(url, timeout_s=timeout_s) as client:
        return list(client.stream("s", pieces))


def asynchronous(url: str, pieces: Any, timeout_s: float = 20) -> list[StreamEvent]:
    async def collect() -> list[StreamEvent]:
        async with AsyncLongstreamClient(url, timeout_s=timeout_s) as client:
            return [event async for event in client.stream("s", pieces)]

    return asyncio.run(collect())


both = pytest.mark.parametrize("run", [blocking, asynchronous])


@both
@pytest.mark.parametrize("pieces", ["a" * 1500, ["a"] * 1500, [b"a" * 100] * 15])
def test_an_answer_larger_than_every_buffer_does_not_stall(run, pieces):
    with served(echo) as url:
        *chunks, done = run(url, pieces)
    assert [event.chunk.seq for event in chunks] == list(range(1500))
    assert done == StreamDone(1500, 1500, 1500)


@both
def test_an_early_refusal_is_heard_while_sending(run):
    with served(refuse) as url, pytest.raises(NotFound, match="session_not_found"):
        run(url, "a" * 100)


@both
def test_a_failing_source_of_text_fails_the_stream(run):
    def broken() -> Iterator[str]:
        yield "a"
        raise RuntimeError("the microphone is gone")

    with served(echo) as url, pytest.raises(RuntimeError, match="microphone"):
        run(url, broken())


@both
def test_a_silent_service_times_out(run):
    with served(silence) as url, pytest.raises(TransportError, match="silent"):
        run(url, "a", timeout_s=0.2)


@both
def test_nobody_listening_is_a_transport_error(run):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with pytest.raises(TransportError, match="stream_interrupted"):
        run(url, "a")


def test_a_transport_speaks_no_unknown_scheme():
    with (
        httpx.Client(transport=DuplexTransport()) as client,
        pytest.raises(httpx.UnsupportedProtocol, match="gopher"),
    ):
        client.get("gopher://127.0.0.1")


@both
def test_a_peer_that_closes_without_a_word_is_a_transport_error(run):
    def hang_up(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        connection.recv(65_536)
        connection.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=hang_up, args=(listener,))
        thread.start()
        with pytest.raises(TransportError):
            run(f"http://127.0.0.1:{listener.getsockname()[1]}", "a")
        thread.join()


def test_events_arrive_while_text_is_still_to_come():
    """A live transcript: the answer to what was said is there before more is said."""
    spoken: list[int] = []

    def live() -> Iterator[str]:
        for said in range(5):
            # What was said before has been answered by now, or is within a moment.
            yield "a"
            time.sleep(0.2)
            spoken.append(said)

    with served(echo) as url, LongstreamClient(url) as client:
        heard = [len(spoken) for _ in client.stream("s", live())]
    assert len(heard) == 6
    assert heard[0] < 3


async def test_events_arrive_in_step_with_an_asynchronous_source():
    answered = asyncio.Event()

    async def live() -> Any:
        for _ in range(5):
            answered.clear()
            yield "a"
            # Ends only if each answer comes before the next piece is sent.
            await asyncio.wait_for(answered.wait(), 10)

    with served(echo) as url:
        async with AsyncLongstreamClient(url, retry=RetryPolicy(retry_for_s=0)) as client:
            count = 0
            async for _ in client.stream("s", live()):
                count += 1
                answered.set()
    assert count == 6


@both
def test_a_caller_who_stops_listening_leaves_no_connection(run):
    closed = threading.Event()

    async def watch(scope: Message, receive: Any, send: Any) -> None:
        await echo(scope, receive, send)
        closed.set()

    with served(watch) as url:
        if run is blocking:
            with LongstreamClient(url) as client:
                events = client.stream("s", iter(["a", "b"]))
                next(events)
                events.close()
        else:

            async def one() -> None:
                async with AsyncLongstreamClient(url) as client:
                    stream = client.stream("s", ["a", "b"])
                    await anext(stream)
                    await stream.aclose()

            asyncio.run(one())
        assert closed.wait(10)
