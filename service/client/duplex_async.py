"""The asyncio counterpart of `service.client.duplex`: a task sends while the caller receives."""

import asyncio
import socket
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
        exchange = _Exchange(await _connect(request), request, request.stream)
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
        connection: "_Plain | _Secure",
        request: httpx.Request,
        body: httpx.AsyncByteStream,
    ) -> None:
        self._connection = connection
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
        self._connection.close()

    async def next_event(self) -> Event:
        """Return the next part of the response."""
        while (event := self._wire.next_event()) is None:
            self._wire.receive(await self._received())
        return event

    async def _received(self) -> bytes:
        reading = asyncio.create_task(self._connection.receive())
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
        if not await self._written(self._wire.head()):
            return
        async for piece in body:
            if not await self._written(self._wire.data(piece)):
                return
        await self._written(self._wire.end())

    async def _written(self, data: bytes) -> bool:
        """Write; False if the peer hung up, maybe after an answer that says why."""
        try:
            await self._connection.send(data)
        except OSError:
            return False
        return True


class _Plain:
    """A bare socket: what arrived before sending failed can still be read, and may say why it failed."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._loop = asyncio.get_running_loop()

    async def receive(self) -> bytes:
        return await self._loop.sock_recv(self._sock, READ_SIZE)

    async def send(self, data: bytes) -> None:
        await self._loop.sock_sendall(self._sock, data)

    def close(self) -> None:
        self._sock.close()


class _Secure:
    """The same under TLS, which asyncio does only in its streams."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def receive(self) -> bytes:
        return await self._reader.read(READ_SIZE)

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    def close(self) -> None:
        self._writer.close()


async def _connect(request: httpx.Request) -> _Plain | _Secure:
    host, port = address(request)
    try:
        async with asyncio.timeout(connect_timeout_s(request)):
            if request.url.scheme == "https":
                secure = ssl.create_default_context()
                return _Secure(*await asyncio.open_connection(host, port, ssl=secure))
            return _Plain(await _open_socket(host, port))
    except TimeoutError as error:
        raise httpx.ConnectTimeout(str(error), request=request) from error
    except OSError as error:
        raise httpx.ConnectError(str(error), request=request) from error


async def _open_socket(host: str, port: int) -> socket.socket:
    """Connect to the first address of a host that answers."""
    loop = asyncio.get_running_loop()
    failure = OSError(f"{host} has no address")
    for family, kind, protocol, _, where in await loop.getaddrinfo(
        host, port, type=socket.SOCK_STREAM
    ):
        sock = socket.socket(family, kind, protocol)
        sock.setblocking(False)  # noqa: FBT003 - the standard library's signature
        try:
            await loop.sock_connect(sock, where)
        except OSError as error:
            sock.close()
            failure = error
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    raise failure
