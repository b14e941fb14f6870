"""A proxy before a Redis server that can lose an answer."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass
class CutProxy:
    """Passes bytes on, both ways.

    Attributes:
        port: Where it listens on loopback.
        cut: While True, requests get through and every answer is lost with its connection.
        requests: Everything that clients have sent.
    """

    port: int = 0
    cut: bool = False
    requests: bytearray = field(default_factory=bytearray)

    @asynccontextmanager
    async def before(self, server_port: int) -> AsyncIterator["CutProxy"]:
        """Listen while the context is open."""

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            behind, ahead = await asyncio.open_connection("127.0.0.1", server_port)
            try:
                async with asyncio.TaskGroup() as both:
                    both.create_task(self._requests(reader, ahead))
                    both.create_task(self._answers(behind, writer))
            except* (ConnectionError, asyncio.CancelledError):
                pass
            finally:
                for end in (writer, ahead):
                    end.close()

        listener = await asyncio.start_server(serve, "127.0.0.1", 0)
        self.port = listener.sockets[0].getsockname()[1]
        async with listener:
            yield self

    async def _requests(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            self.requests += data
            writer.write(data)
            await writer.drain()
        raise ConnectionError

    async def _answers(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            if self.cut:
                raise ConnectionError
            writer.write(data)
            await writer.drain()
        raise ConnectionError
