"""One first-come-first-served lock per key, for as long as someone holds or awaits it."""

import asyncio
from collections.abc import Hashable
from dataclasses import dataclass, field

from service.errors import Unavailable


@dataclass(slots=True)
class _Entry:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    users: int = 0


class KeyedLocks:
    """Locks that come into being when needed and leave nothing behind.

    Whoever has acquired a key may hand it on: any task may release it.

    Args:
        most_waiting: Tasks that may wait for one key besides its holder.
    """

    def __init__(self, most_waiting: int) -> None:
        self._most_waiting = most_waiting
        self._entries: dict[Hashable, _Entry] = {}

    def __len__(self) -> int:
        """Keys that are held or awaited."""
        return len(self._entries)

    async def acquire(self, key: Hashable) -> None:
        """Take the key's lock; waiters get it in the order they came.

        Raises:
            Unavailable: `overloaded`: too many wait for it already.
        """
        entry = self._entries.setdefault(key, _Entry())
        if entry.users > self._most_waiting:
            raise Unavailable("overloaded", "too many requests wait for this session; try again")
        entry.users += 1
        try:
            await entry.lock.acquire()
        except BaseException:
            self._leave(key, entry)
            raise

    def release(self, key: Hashable) -> None:
        """Give the key's lock to the next who waits."""
        entry = self._entries[key]
        entry.lock.release()
        self._leave(key, entry)

    def _leave(self, key: Hashable, entry: _Entry) -> None:
        entry.users -= 1
        if entry.users == 0:
            del self._entries[key]
