"""One HTTP/1.1 exchange as bytes, for transports that send and receive at the same time.

An ordinary client sends a whole body before it reads the first byte of the answer. A stream's answer grows
while its body is still being sent: with nobody reading it, both sides would wait for each other for ever.
"""

from collections.abc import AsyncIterator, Iterable, Iterator
from typing import TypeAlias

import h11
import httpx

from service.client.errors import invalid

Text: TypeAlias = str | bytes
Event: TypeAlias = h11.Response | h11.Data | h11.EndOfMessage

READ_SIZE = 65_536


class Wire:
    """Framing of one request and its response."""

    def __init__(self, request: httpx.Request) -> None:
        self._h11 = h11.Connection(h11.CLIENT)
        self._request = request

    def head(self) -> bytes:
        """Return the request line and headers."""
        head = h11.Request(
            method=self._request.method.encode("ascii"),
            target=self._request.url.raw_path,
            headers=self._request.headers.raw,
        )
        return self._send(head)

    def data(self, piece: bytes) -> bytes:
        """Return the bytes that carry a piece of the body."""
        return self._send(h11.Data(data=piece))

    def end(self) -> bytes:
        """Return the bytes that end the body."""
        return self._send(h11.EndOfMessage())

    def receive(self, data: bytes) -> None:
        """Take bytes of the response; none at all mean that the peer has closed."""
        try:
            self._h11.receive_data(data)
        except RuntimeError as error:
            raise httpx.RemoteProtocolError("bytes after the end of the connection") from error

    def next_event(self) -> Event | None:
        """Return the next part of the response, or None if more bytes are needed.

        Raises:
            httpx.RemoteProtocolError: the peer does not speak HTTP, or closed in the middle.
        """
        while True:
            try:
                event = self._h11.next_event()
            except h11.RemoteProtocolError as error:
                raise httpx.RemoteProtocolError(str(error), request=self._request) from error
            if event is h11.NEED_DATA or event is h11.PAUSED:
                return None
            if isinstance(event, h11.Response | h11.Data | h11.EndOfMessage):
                return event
            if isinstance(event, h11.ConnectionClosed):
                raise httpx.RemoteProtocolError("closed without an answer", request=self._request)

    def _send(self, event: h11.Request | h11.Data | h11.EndOfMessage) -> bytes:
        return self._h11.send(event) or b""


def read_timeout_s(request: httpx.Request) -> float | None:
    """Return how long a request lets its peer be silent; None is for ever."""
    return _timeout_s(request, "read")


def connect_timeout_s(request: httpx.Request) -> float | None:
    """Return how long a request lets a connection take."""
    return _timeout_s(request, "connect")


def address(request: httpx.Request) -> tuple[str, int]:
    """Return host and port of a request.

    Raises:
        httpx.UnsupportedProtocol: neither http nor https.
    """
    ports = {"http": 80, "https": 443}
    if request.url.scheme not in ports:
        raise httpx.UnsupportedProtocol(f"cannot speak {request.url.scheme!r}", request=request)
    return request.url.host, request.url.port or ports[request.url.scheme]


def encoded(pieces: Text | Iterable[Text]) -> Iterator[bytes]:
    """Yield text as UTF-8, leaving out what is empty.

    Raises:
        Invalid: a piece is no text, or has half of a surrogate pair.
    """
    for piece in (pieces,) if isinstance(pieces, str | bytes) else pieces:
        if data := _utf8(piece):
            yield data


async def encoded_async(
    pieces: Text | Iterable[Text] | AsyncIterator[Text],
) -> AsyncIterator[bytes]:
    """Yield text as UTF-8, from an iterable of either kind.

    Raises:
        Invalid: as `encoded`.
    """
    if isinstance(pieces, AsyncIterator):
        async for piece in pieces:
            for data in encoded(piece):
                yield data
        return
    for data in encoded(pieces):
        yield data


def _utf8(piece: Text) -> bytes:
    if isinstance(piece, bytes):
        return piece
    try:
        return piece.encode()
    except (AttributeError, UnicodeEncodeError) as error:
        raise invalid(f"a piece of the stream is no text: {error}") from error


def _timeout_s(request: httpx.Request, kind: str) -> float | None:
    value = request.extensions.get("timeout", {}).get(kind)
    return None if value is None else float(value)
