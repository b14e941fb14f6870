"""What either end of a lane says: pickled tuples behind their length, to and from processes of the same user only."""

import asyncio
import asyncio.trsock
import contextlib
import os
import pickle
import socket
import struct
from collections.abc import Callable
from typing import Any, Final, cast

_LENGTH: Final = struct.Struct("!I")
_PEER: Final = struct.Struct("3i")
"""Process, user and group, as Linux tells them of the other end."""
BYE: Final = "bye"
"""In place of a method, from the replica: it is to stop; from the gateway: that was its last call."""
RESULT: Final = "result"
ERROR: Final = "error"
"""In the place of a method, from the replica: what the rest of an answer is."""
CANCEL: Final = "cancel"
"""In place of a method: nobody waits for that call any more."""


def supported() -> bool:
    """Return whether this system has sockets without files, and tells whose they are: Linux."""
    return hasattr(socket, "SO_PEERCRED")


class FramedProtocol(asyncio.Protocol):
    """One end of one connection; subclasses say what a frame does.

    Only the process that answers a call and the one that asked hold anything back: calls in flight are bounded, and
    each one's size is, before it comes here.
    """

    transport: asyncio.Transport

    def __init__(self) -> None:
        self._received = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Go on if the other end is a process of this user: what is unpickled can do all that its sender can."""
        self.transport = cast("asyncio.Transport", transport)
        if not _is_ours(transport.get_extra_info("socket")):
            self.transport.abort()

    def data_received(self, data: bytes) -> None:
        """Cut what came into frames."""
        if self.transport.is_closing():
            return
        self._received += data
        start = 0
        while len(self._received) >= start + _LENGTH.size:
            [size] = _LENGTH.unpack_from(self._received, start)
            end = start + _LENGTH.size + size
            if len(self._received) < end:
                break
            with memoryview(self._received)[start + _LENGTH.size : end] as frame:
                content = pickle.loads(frame)  # noqa: S301 - of this user, see `connection_made`
            start = end
            self.frame(*content)
        del self._received[:start]

    def send(self, *content: Any) -> None:
        """Send a frame.

        Raises:
            Exception: some of it cannot be pickled; nothing was sent.
        """
        frame = pickle.dumps(content, pickle.HIGHEST_PROTOCOL)
        self.transport.writelines((_LENGTH.pack(len(frame)), frame))

    def frame(self, number: int, what: str, *more: Any) -> None:
        """Handle a frame: the number of a call, and what is said of it."""
        raise NotImplementedError


def listening(address: str) -> socket.socket:
    """Return a socket bound to an address; uvloop, handed such an address itself, takes it for a file's."""
    return _socket(address, socket.socket.bind)


def connected(address: str) -> socket.socket:
    """Return a socket connected to an address.

    Raises:
        OSError: nobody listens, or too many are about to be let in.
    """
    return _socket(address, socket.socket.connect)


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
    return bool(user == os.getuid())
