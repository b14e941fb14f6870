import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from starlette.types import Receive, Scope, Send

from service.config_access import EdgeConfig
from service.deployments.address import shared_socket
from service.deployments.http_server import HttpServer


class SlowApp:
    """Answers /slow when it is released, everything else at once."""

    def __init__(self) -> None:
        self.started = asyncio.Event()
        self.release = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        if scope["path"] == "/slow":
            self.started.set()
            await self.release.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"done"})


@asynccontextmanager
async def running(
    app: SlowApp, drain_s: float = 5, edge: EdgeConfig | None = None
) -> AsyncIterator[tuple[HttpServer, int]]:
    listener = shared_socket("127.0.0.1", 0)
    port = listener.getsockname()[1]
    server = HttpServer(app, listener, drain_s, edge)
    await server.start()
    try:
        yield server, port
    finally:
        app.release.set()
        await server.stop()


async def exchange(port: int, *parts: bytes, pause: float = 0.0) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(pause)
        return await asyncio.wait_for(reader.read(), 5)
    except ConnectionError:
        return b""
    finally:
        writer.close()


async def refused(port: int) -> None:
    """Return once the port takes no connections any more."""
    async with asyncio.timeout(5):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionRefusedError:
                return
            except ConnectionResetError:
                continue  # it waited in the backlog while the port closed
            writer.close()
            await asyncio.sleep(0.02)


async def test_it_answers_and_does_not_name_its_software() -> None:
    async with running(SlowApp()) as (server, port), httpx.AsyncClient() as client:
        response = await client.get(f"http://127.0.0.1:{port}/")
        assert response.text == "done"
        assert "server" not in response.headers
        assert server.running
    assert not server.running


async def test_a_head_over_the_limit_is_refused() -> None:
    head = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-long: %b\r\n\r\n"
    async with running(SlowApp()) as (_, port):
        assert (await exchange(port, head % (b"a" * 1024))).startswith(b"HTTP/1.1 200")
        # What is left of the head when the 400 is sent may reset the connection before it is read.
        answer = await exchange(port, head % (b"a" * 10 * EdgeConfig().head_bytes))
        assert answer == b"" or answer.startswith(b"HTTP/1.1 431")


async def test_a_head_that_trickles_is_cut_off() -> None:
    edge = EdgeConfig(head_seconds=0.2)
    async with running(SlowApp(), edge=edge) as (_, port):
        parts = [b"GET / HTTP/1.1\r\nhost: x\r\n", *[b"x-a: b\r\n"] * 20]
        assert await exchange(port, *parts, pause=0.05) == b""


async def test_a_second_head_that_trickles_is_cut_off() -> None:
    edge = EdgeConfig(head_seconds=0.2)
    request = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
    async with running(SlowApp(), edge=edge) as (_, port):
        parts = [request, b"GET / HTTP/1.1\r\nhost: x\r\n", *[b"x-a: b\r\n"] * 20]
        assert (await exchange(port, *parts, pause=0.05)).count(b"200 OK") <= 1


async def test_a_slow_answer_is_not_cut_off() -> None:
    edge = EdgeConfig(head_seconds=0.1)
    app = SlowApp()
    async with running(app, edge=edge) as (_, port), httpx.AsyncClient() as client:
        asking = asyncio.ensure_future(client.get(f"http://127.0.0.1:{port}/slow"))
        await app.started.wait()
        await asyncio.sleep(0.3)
        app.release.set()
        assert (await asking).text == "done"


async def test_running_requests_are_finished_and_new_connections_refused() -> None:
    app = SlowApp()
    async with running(app) as (server, port), httpx.AsyncClient() as client:
        asking = asyncio.ensure_future(client.get(f"http://127.0.0.1:{port}/slow"))
        await app.started.wait()
        stopping = asyncio.ensure_future(server.stop())
        await refused(port)
        assert not stopping.done()
        app.release.set()
        assert (await asking).text == "done"
        await stopping


async def test_a_request_that_does_not_end_is_cut_off_after_the_drain_time() -> None:
    app = SlowApp()
    async with running(app, drain_s=1) as (server, port), httpx.AsyncClient() as client:
        asking = asyncio.ensure_future(client.get(f"http://127.0.0.1:{port}/slow"))
        await app.started.wait()
        await asyncio.wait_for(server.stop(), 4)
        try:
            assert (await asking).status_code == 500
        except httpx.HTTPError as error:
            assert "disconnected" in str(error)  # noqa: PT017 - either way of being cut off will do
