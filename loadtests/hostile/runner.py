"""Plays cases against a service and judges the answers."""

import asyncio
import contextlib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

import h11

from loadtests.hostile.case import AUTH, CLOSED, HOST, SESSION, Case

_READ_BYTES: Final = 65_536
_LONGEST_ERROR: Final = 20_000
_ERRORS: Final = 400
_SERVER_ERRORS: Final = 500


@dataclass(frozen=True, slots=True)
class Target:
    """Where cases are played.

    Attributes:
        url: The service.
        api_key: Shown with each case; None shows none.
        session: An open session of the caller.
        patience_s: Longest time one case may take.
    """

    url: str
    api_key: str | None
    session: str
    patience_s: float = 1.0

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        parts = urlsplit(self.url)
        return parts.hostname or "127.0.0.1", parts.port or 80

    def fill(self, part: bytes) -> bytes:
        """Put what is known into a part of a case."""
        auth = (
            b"" if self.api_key is None else b"authorization: Bearer %b\r\n" % _ascii(self.api_key)
        )
        part = part.replace(HOST, _ascii(urlsplit(self.url).netloc))
        return part.replace(AUTH, auth).replace(SESSION, _ascii(self.session))


@dataclass(slots=True)
class Outcome:
    """How a case went.

    Attributes:
        name: The case.
        seconds: From the connection to its end.
        statuses: What was answered.
        faults: What was wrong with that.
    """

    name: str
    seconds: float = 0.0
    statuses: list[int] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


async def play(case: Case, target: Target) -> Outcome:
    """Send one case on a connection of its own and judge what comes back."""
    outcome = Outcome(case.name)
    begun = time.monotonic()
    received = bytearray()
    try:
        async with asyncio.timeout(target.patience_s):
            await _exchange(case, target, received)
    except TimeoutError:
        outcome.faults.append(f"no end after {target.patience_s:g} s")
    outcome.seconds = time.monotonic() - begun
    _judge(case, bytes(received), outcome)
    return outcome


async def play_all(corpus: Sequence[Case], target: Target) -> list[Outcome]:
    """Play cases one after the other, so that each time is its own."""
    return [await play(case, target) for case in corpus]


async def _exchange(case: Case, target: Target, received: bytearray) -> None:
    reader, writer = await asyncio.open_connection(*target.address)
    # What a service does not read of a hostile request may reset the connection, at any moment.
    with contextlib.suppress(ConnectionError):
        receiving = asyncio.ensure_future(_receive(reader, received))
        try:
            for part in case.parts:
                writer.write(target.fill(part))
                await writer.drain()
            if case.incomplete:
                writer.write_eof()
            await receiving
        finally:
            receiving.cancel()
            # Not in good order: what the service did not read would never be sent.
            writer.transport.abort()
            await writer.wait_closed()


async def _receive(reader: asyncio.StreamReader, received: bytearray) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(_READ_BYTES):
            received += data


def _judge(case: Case, received: bytes, outcome: Outcome) -> None:
    try:
        for response, body in _responses(case, received):
            outcome.statuses.append(response.status_code)
            outcome.faults += _faults(response, body)
    except h11.ProtocolError as error:
        outcome.faults.append(f"the answer is no HTTP: {error}")
    seen = outcome.statuses or [CLOSED]
    outcome.faults += [f"answered {status}" for status in seen if status not in case.statuses]
    if len(outcome.statuses) > case.answers:
        outcome.faults.append(f"{len(outcome.statuses)} answers, at most {case.answers} expected")


def _faults(response: h11.Response, body: bytes) -> list[str]:
    headers = {name.decode(): value.decode("latin-1") for name, value in response.headers}
    faults = ["a header was injected"] if "x-injected" in headers else []
    if response.status_code >= _SERVER_ERRORS:
        faults.append("a server error")
    if response.status_code < _ERRORS:
        return faults
    if headers.get("content-type") != "application/problem+json":
        faults.append(f"an error of type {headers.get('content-type')}")
    elif len(body) > _LONGEST_ERROR:
        faults.append(f"an error of {len(body)} bytes")
    elif json.loads(body)["status"] != response.status_code:
        faults.append("an error that names another status")
    return faults


def _responses(case: Case, received: bytes) -> list[tuple[h11.Response, bytes]]:
    """Parse all answers of a connection; one that was cut off is left out."""
    found: list[tuple[h11.Response, bytes]] = []
    while received:
        connection = h11.Connection(h11.CLIENT)
        method = b"CONNECT" if case.parts[0].startswith(b"CONNECT") else b"GET"
        connection.send(h11.Request(method=method, target=b"/", headers=[(b"host", b"x")]))
        connection.send(h11.EndOfMessage())
        connection.receive_data(received)
        connection.receive_data(b"")
        response, body = None, b""
        while True:
            event = connection.next_event()
            if isinstance(event, h11.Response):
                response = event
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif not isinstance(event, h11.InformationalResponse):
                break
        if not isinstance(event, h11.EndOfMessage) or response is None:
            break
        found.append((response, body))
        received = connection.trailing_data[0]
    return found


def _ascii(text: str) -> bytes:
    return text.encode("ascii")
