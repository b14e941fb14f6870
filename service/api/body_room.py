"""How many bytes of bodies a process holds at once: each body is bounded, and there may be thousands of them."""

from collections.abc import Iterator
from contextlib import contextmanager

from service.errors import Unavailable


class BodyRoom:
    """Room for the bodies of all requests that are being read or answered, and for files that are being sent.

    A body that is alone always has room: its own bound says how large it may be.

    Args:
        most_bytes: Bytes of all bodies together.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._held = 0

    @property
    def held(self) -> int:
        """Bytes of the bodies held."""
        return self._held

    @contextmanager
    def share(self) -> Iterator["Share"]:
        """Give one request its share, until the request is answered."""
        share = Share(self)
        try:
            yield share
        finally:
            self._held -= share.size

    def take(self, count: int, own: int) -> None:
        """Hold more bytes of a request that holds `own`.

        Raises:
            Unavailable: `overloaded`.
        """
        others = self._held - own
        if others and self._held + count > self._most_bytes:
            raise Unavailable(
                "overloaded",
                "This process holds as many bodies as it may; try again in a moment.",
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

    def take(self, count: int) -> None:
        """Hold more bytes; raises `Unavailable` where there is no room for them."""
        self._room.take(count, self.size)
        self.size += count
