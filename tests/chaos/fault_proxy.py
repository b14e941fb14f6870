"""A TCP proxy before a server, through which a network can be made as bad as networks get."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

_READ_BYTES: Final = 65_536
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)


class FaultProxy:
    """Passes bytes on, both ways, as well as it is told to. Faults may be set and taken back at any time.

    Args:
        host: The server's address.
        port: The server's port.

    Attributes:
        port: Where the proxy listens on loopback, once it does.
        latency_s: Seconds that everything waits before it is passed on, each way.
        slice_bytes: Most bytes that are passed on at once; None for as many as come.
        refusing: Whether new connections are reset at once.
        accepted: Connections so far.
    """

    def __init__(self, host: str, port: int) -> None:
        self._server = (host, port)
        self._flows = asyncio.Event()
        self._flows.set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self.port = 0
        self.latency_s = 0.0
        self.slice_bytes: int | None = None
        self.refusing = False
        self.accepted = 0

    @asynccontextmanager
    async def listening(self) -> AsyncIterator["FaultProxy"]:
        """Listen on a free port while the context is open."""

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            serving = asyncio.create_task(self._serve(reader, writer))
            self._serving.add(serving)
            serving.add_done_callback(self._serving.discard)

        listener = await asyncio.start_server(accept, "127.0.0.1", 0)
        self.port = listener.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            listener.close()
            self.resume()
            self.reset()
            await asyncio.gather(*self._serving)
            await listener.wait_closed()

    def hang(self) -> None:
        """Pass nothing on from now on, and keep all connections open."""
        self._flows.clear()

    def resume(self) -> None:
        """Pass on what was held back and what comes."""
        self._flows.set()

    def reset(self) -> int:
        """Reset every connection, at both of its ends; return how many ends there were."""
        ends = list(self._writers)
        for writer in ends:
            _reset(writer)
        return len(ends)

    def heal(self) -> None:
        """Take back every fault."""
        self.latency_s, self.slice_bytes, self.refusing = 0.0, None, False
        self.resume()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        if self.refusing:
            _reset(writer)
            return
        try:
            behind, ahead = await asyncio.open_connection(*self._server)
        except OSError:
            # The server is down: a client would have been told so by a reset.
            _reset(writer)
            return
        ends = {writer, ahead}
        self._writers |= ends
        ways = [
            asyncio.create_task(self._pass_on(reader, ahead)),
            asyncio.create_task(self._pass_on(behind, writer)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            self._writers -= ends
            for end in ends:
                end.close()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(_READ_BYTES):
                size = self.slice_bytes or len(data)
                for at in range(0, len(data), size):
                    if self.latency_s:
                        await asyncio.sleep(self.latency_s)
                    await self._flows.wait()
                    writer.write(data[at : at + size])
                    await writer.drain()
                    # Otherwise the slices might leave together.
                    await asyncio.sleep(0)


def _reset(writer: asyncio.StreamWriter) -> None:
    """End a connection as a machine does that knows nothing of it."""
    end = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    writer.transport.abort()
