"""The fault proxy: as good as no proxy, until it is told to be bad."""

import asyncio
import contextlib
import time

import pytest

from service.errors import Unavailable
from service.sessions.stores.redis import RedisStore
from tests.chaos.fault_proxy import FaultProxy
from tests.service.sessions.made import grown, make_record

PAUSE_S = 0.3


class Echo:
    """A server that sends back what it gets."""

    def __init__(self) -> None:
        self.reads: list[int] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(1 << 16):
                self.reads.append(len(data))
                writer.write(data)
        writer.close()


@pytest.fixture
async def echo():
    return Echo()


@pytest.fixture
async def proxy(echo):
    async with await asyncio.start_server(echo.serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with FaultProxy("127.0.0.1", port).listening() as proxy:
            yield proxy


@contextlib.asynccontextmanager
async def connected(proxy):
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    yield reader, writer
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


@pytest.fixture
async def ends(proxy):
    async with connected(proxy) as ends:
        yield ends


async def say(ends, text: bytes = b"hello") -> bytes:
    reader, writer = ends
    writer.write(text)
    answer: bytes = await reader.readexactly(len(text))
    return answer


async def test_it_passes_everything_on(ends):
    long = bytes(range(256)) * 4096
    assert await say(ends, long) == long
    assert await say(ends) == b"hello"


async def test_it_can_be_slow(ends, proxy):
    await say(ends)
    proxy.latency_s = PAUSE_S
    began = time.monotonic()
    assert await say(ends) == b"hello"
    assert 2 * PAUSE_S <= time.monotonic() - began < 20 * PAUSE_S


async def test_it_can_hang_and_then_loses_nothing(ends, proxy):
    await say(ends)
    proxy.hang()
    told = asyncio.create_task(say(ends))
    await asyncio.sleep(PAUSE_S)
    assert not told.done()
    proxy.resume()
    assert await told == b"hello"


async def test_it_can_pass_on_single_bytes(ends, echo, proxy):
    proxy.slice_bytes = 1
    assert await say(ends) == b"hello"
    assert sum(echo.reads) == 5
    assert max(echo.reads) < 5


async def test_it_can_reset_connections(ends, proxy):
    await say(ends)
    assert proxy.reset() == 2
    with pytest.raises(ConnectionResetError):
        await say(ends)


async def test_it_can_refuse_new_connections(proxy):
    proxy.refusing = True
    async with connected(proxy) as ends:
        with pytest.raises(ConnectionResetError):
            await ends[0].readexactly(1)
    proxy.heal()
    async with connected(proxy) as ends:
        assert await say(ends) == b"hello"


async def test_a_server_that_is_down_is_a_reset(proxy):
    proxy._server = ("127.0.0.1", 1)
    async with connected(proxy) as ends:
        with pytest.raises(ConnectionResetError):
            await ends[0].readexactly(1)


async def test_a_store_behind_it_reports_what_it_cannot_do_and_goes_on(redis_server):
    async with (
        FaultProxy("127.0.0.1", redis_server.port).listening() as proxy,
        RedisStore(f"redis://127.0.0.1:{proxy.port}/0") as store,
    ):
        record = await grown(store, make_record("behind-a-proxy"), 2)
        proxy.refusing = True
        proxy.reset()
        with pytest.raises(Unavailable):
            await store.get(record.tenant, record.id)
        proxy.heal()
        proxy.slice_bytes = 7
        assert await store.get(record.tenant, record.id) == record
