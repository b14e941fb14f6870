"""A transport for httpx that receives while it sends, without threads.

The body's iterator runs in the caller's thread, between reads: an event that has arrived is always delivered
before the next piece of text is asked for.
"""

import selectors
import socket
import ssl
from collections.abc import Iterator

import h11
import httpx

from service.client.wire import READ_SIZE, Event, Wire, address, connect_timeout_s, read_timeout_s

_NOT_NOW = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class DuplexTransport(httpx.BaseTransport):
    """Opens a connection for each request and pumps both directions of it."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send the head and as much of the body as it takes until the response begins."""
        if not isinstance(request.stream, httpx.SyncByteStream):
            raise TypeError("the body of a blocking request is a blocking iterator")
        exchange = _Exchange(_connect(request), request, iter(request.stream))
        try:
            head = exchange.next_event()
        except BaseException:
            exchange.close()
            raise
        if not isinstance(head, h11.Response):
            exchange.close()
            raise httpx.RemoteProtocolError("a body without a head", request=request)
        return httpx.Response(
            head.status_code, headers=list(head.headers.raw_items()), stream=exchange
        )


class _Exchange(httpx.SyncByteStream):
    """One connection; as a stream it is the body of the response."""

    def __init__(self, sock: socket.socket, request: httpx.Request, body: Iterator[bytes]) -> None:
        self._sock = sock
        self._request = request
        self._body: Iterator[bytes] | None = body
        self._wire = Wire(request)
        self._unsent = bytearray(self._wire.head())
        self._timeout = read_timeout_s(request)

    def __iter__(self) -> Iterator[bytes]:
        while isinstance(event := self.next_event(), h11.Data):
            yield bytes(event.data)

    def close(self) -> None:
        self._sock.close()

    def next_event(self) -> Event:
        """Return the next part of the response, sending what can be sent in the meantime."""
        while (event := self._wire.next_event()) is None:
            # Receiving goes first: a peer that waits for its answer to be read reads no more text.
            if not (self._received() or self._sent()):
                self._wait()
        return event

    def _received(self) -> bool:
        try:
            data = self._sock.recv(READ_SIZE)
        except _NOT_NOW:
            return False
        except OSError as error:
            raise httpx.ReadError(str(error), request=self._request) from error
        self._wire.receive(data)
        return True

    def _sent(self) -> bool:
        if not self._unsent and self._body is not None:
            piece = next(self._body, None)
            if piece is None:
                self._body = None
            self._unsent += self._wire.end() if piece is None else self._wire.data(piece)
        if not self._unsent:
            return False
        try:
            count = self._sock.send(self._unsent)
        except _NOT_NOW:
            return False
        except OSError:
            # The peer hung up on us, maybe after an answer that says why: that is read next.
            self._body = None
            self._unsent.clear()
            return True
        del self._unsent[:count]
        return True

    def _wait(self) -> None:
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._unsent else 0)
        with selectors.DefaultSelector() as selector:
            selector.register(self._sock, wanted)
            if not selector.select(self._timeout):
                raise httpx.ReadTimeout("the service went silent", request=self._request)


def _connect(request: httpx.Request) -> socket.socket:
    host, port = address(request)
    try:
        sock = socket.create_connection((host, port), connect_timeout_s(request))
        if request.url.scheme == "https":
            sock = ssl.create_default_context().wrap_socket(sock, server_hostname=host)
    except TimeoutError as error:
        raise httpx.ConnectTimeout(str(error), request=request) from error
    except OSError as error:
        raise httpx.ConnectError(str(error), request=request) from error
    sock.setblocking(False)  # noqa: FBT003 - the standard library's signature
    return sock
