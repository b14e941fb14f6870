"""The asyncio counterpart of `service.client.duplex`: a task sends while the caller receives."""

import asyncio
import ssl
from collections.abc import AsyncIterator

import h11
import httpx

from service.client.wire import READ_SIZE, Event, Wire, address, connect_timeout_s, read_timeout_s


class AsyncDuplexTransport(httpx.AsyncBaseTransport):
    """Opens a connection for each request and runs both directions of it."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Begin to send and return when the response begins."""
        if not isinstance(request.stream, httpx.AsyncByteStream):
            raise TypeError("the body of an asynchronous request is an asynchronous iterator")
        reader, writer = await _connect(request)
        exchange = _Exchange(reader, writer, request, request.stream)
        try:
            head = await exchange.next_event()
        except BaseException:
            await exchange.aclose()
            raise
        if not isinstance(head, h11.Response):
            await exchange.aclose()
            raise httpx.RemoteProtocolError("a body without a head", request=request)
        return httpx.Response(
            head.status_code, headers=list(head.headers.raw_items()), stream=exchange
        )


class _Exchange(httpx.AsyncByteStream):
    """One connection; as a stream it is the body of the response."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        request: httpx.Request,
        body: httpx.AsyncByteStream,
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._request = request
        self._wire = Wire(request)
        self._timeout = read_timeout_s(request)
        self._sender = asyncio.create_task(self._send(body))

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while isinstance(event := await self.next_event(), h11.Data):
            yield bytes(event.data)

    async def aclose(self) -> None:
        self._sender.cancel()
        # The outcome of sending no longer matters; it is fetched so that asyncio does not report it.
        await asyncio.gather(self._sender, return_exceptions=True)
        self._writer.close()

    async def next_event(self) -> Event:
        """Return the next part of the response."""
        while (event := self._wire.next_event()) is None:
            self._wire.receive(await self._received())
        return event

    async def _received(self) -> bytes:
        reading = asyncio.create_task(self._reader.read(READ_SIZE))
        try:
            if not self._sender.done():
                # No clock runs while text is still to come: a live transcript may pause.
                await asyncio.wait({reading, self._sender}, return_when=asyncio.FIRST_COMPLETED)
            if self._sender.done():
                self._sender.result()
            return await asyncio.wait_for(reading, self._timeout)
        except TimeoutError as error:
            raise httpx.ReadTimeout("the service went silent", request=self._request) from error
        except OSError as error:
            raise httpx.ReadError(str(error), request=self._request) from error
        finally:
            reading.cancel()

    async def _send(self, body: httpx.AsyncByteStream) -> None:
        self._writer.write(self._wire.head())
        async for piece in body:
            if not await self._written(self._wire.data(piece)):
                return
        await self._written(self._wire.end())

    async def _written(self, data: bytes) -> bool:
        """Write; False if the peer hung up, maybe after an answer that says why."""
        self._writer.write(data)
        try:
            await self._writer.drain()
        except OSError:
            return False
        return True


async def _connect(request: httpx.Request) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, port = address(request)
    secure = ssl.create_default_context() if request.url.scheme == "https" else None
    try:
        return await asyncio.wait_for(
            asyncio.open_connection(host, port, ssl=secure), connect_timeout_s(request)
        )
    except TimeoutError as error:
        raise httpx.ConnectTimeout(str(error), request=request) from error
    except OSError as error:
        raise httpx.ConnectError(str(error), request=request) from error
