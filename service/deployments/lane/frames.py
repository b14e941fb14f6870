"""What either end of a lane says: pickled tuples, each behind its length and the number of the call it is about."""

import asyncio
import asyncio.trsock
import contextlib
import hmac
import os
import pickle
import socket
import struct
from collections.abc import Callable
from typing import Any, Final, cast

import structlog

_HEAD: Final = struct.Struct("!IQ")
_PEER: Final = struct.Struct("3i")
"""Process, user and group, as Linux tells them of the other end."""
RESULT: Final = "result"
ERROR: Final = "error"
"""In place of a method, from the replica: what the rest of an answer is."""
CANCEL: Final = "cancel"
"""In place of a method: nobody waits for that call any more."""
BYE: Final = "bye"
"""In place of a method, from the replica: it is to stop, and takes no calls but those that are on their way."""
UNREADABLE: Final = "unreadable"
"""In place of what was said: it cannot be unpickled here."""
log = structlog.get_logger(__name__)


def supported() -> bool:
    """Return whether this system has sockets without files, and tells whose they are: Linux."""
    return hasattr(socket, "SO_PEERCRED")


class FramedProtocol(asyncio.Protocol):
    """One end of one connection; subclasses say what a frame does.

    What is unpickled can do all that its sender can. So both ends ask the kernel whether the other is a process of
    their user, and the replica hears nothing before its secret: users of containers that share a network may have the
    same number.

    Args:
        secret: What the other end has to say first; nothing if empty.
    """

    transport: asyncio.Transport

    def __init__(self, secret: bytes = b"") -> None:
        self._secret = secret
        self._received = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Go on if the other end is a process of this user."""
        self.transport = cast("asyncio.Transport", transport)
        if not _is_ours(transport.get_extra_info("socket")):
            self.transport.abort()

    def data_received(self, data: bytes) -> None:
        """Cut what came into frames."""
        if self.transport.is_closing():
            return
        self._received += data
        if not self._introduced():
            return
        start = 0
        while len(self._received) >= start + _HEAD.size:
            size, number = _HEAD.unpack_from(self._received, start)
            end = start + _HEAD.size + size
            if len(self._received) < end:
                break
            content = bytes(self._received[start + _HEAD.size : end])
            start = end
            self.frame(number, *_unpickled(content))
        del self._received[:start]

    def send(self, number: int, *content: Any) -> None:
        """Send a frame about a call.

        Raises:
            Exception: some of it cannot be pickled; nothing was sent.
        """
        frame = pickle.dumps(content, pickle.HIGHEST_PROTOCOL)
        self.transport.writelines((_HEAD.pack(len(frame), number), frame))

    def frame(self, number: int, what: str, *more: Any) -> None:
        """Handle a frame: the number of a call, and what is said of it."""
        raise NotImplementedError

    def _introduced(self) -> bool:
        count = len(self._secret)
        if len(self._received) < count:
            return False
        if not hmac.compare_digest(self._received[:count], self._secret):
            self.transport.abort()
            return False
        del self._received[:count]
        self._secret = b""
        return True


def listening(address: str) -> socket.socket:
    """Return a socket bound to an address; uvloop, handed such an address itself, takes it for a file's."""
    return _socket(address, socket.socket.bind)


def connected(address: str) -> socket.socket:
    """Return a socket connected to an address.

    Raises:
        OSError: nobody listens, or too many are about to be let in.
    """
    return _socket(address, socket.socket.connect)


def _unpickled(content: bytes) -> tuple[Any, ...]:
    try:
        found: tuple[Any, ...] = pickle.loads(content)  # noqa: S301 - see FramedProtocol
    except Exception:  # one that cannot be read must not end all other calls
        log.exception("lane_frame_unreadable")
        return (UNREADABLE,)
    return found


def _socket(address: str, use: Callable[[socket.socket, str], None]) -> socket.socket:
    with contextlib.ExitStack() as unless_used:
        made = unless_used.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        made.setblocking(False)  # noqa: FBT003 - its name
        use(made, address)
        unless_used.pop_all()
    return made


def _is_ours(connected: asyncio.trsock.TransportSocket) -> bool:
    # uvloop's stand-in for a socket tells little but its descriptor.
    with socket.socket(fileno=os.dup(connected.fileno())) as same:
        peer = same.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
    _, user, _ = _PEER.unpack(peer)
    return bool(user == os.geteuid())
