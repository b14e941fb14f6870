"""How many bytes of bodies and answers a process holds at once: each is bounded, and there may be thousands of them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Self

from starlette.types import Scope

from service.errors import Unavailable

_KEY: Final = "longstream.share"


class BodyRoom:
    """Room for the bodies of all requests that are being read or answered, and for the large answers being sent.

    A request that is alone always has room: its own bounds say how much it may hold.

    Args:
        most_bytes: Bytes of all bodies and large answers together.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._held = 0

    @property
    def held(self) -> int:
        """Bytes of the bodies and answers held."""
        return self._held

    @contextmanager
    def share(self) -> Iterator["Share"]:
        """Give one request its share, until the request is answered."""
        share = Share(self)
        try:
            yield share
        finally:
            self._held -= share.size

    def take(self, count: int, own: int, *, force: bool = False) -> None:
        """Hold more bytes of a request that holds `own`; `force` counts them where there is no room, too.

        Raises:
            Unavailable: `overloaded`.
        """
        others = self._held - own
        if not force and others and self._held + count > self._most_bytes:
            raise Unavailable(
                "overloaded",
                "This process holds as many bodies and answers as it may; try again in a moment.",
            )
        self._held += count


class Share:
    """What one request holds of the room.

    Args:
        room: The room.

    Attributes:
        size: Bytes held.
    """

    def __init__(self, room: BodyRoom) -> None:
        self._room = room
        self.size = 0

    def take(self, count: int, *, force: bool = False) -> None:
        """Hold more bytes; raises `Unavailable` where there is no room for them, unless they have to be held."""
        self._room.take(count, self.size, force=force)
        self.size += count

    def attach(self, scope: Scope) -> None:
        """Make this the share of an ASGI request."""
        scope[_KEY] = self

    @classmethod
    def of(cls, scope: Scope) -> Self:
        """Return the share of an ASGI request that came through `AnswerRoomApp`."""
        share = scope[_KEY]
        if not isinstance(share, cls):
            raise TypeError(f"{_KEY} holds {type(share).__name__}")
        return share
