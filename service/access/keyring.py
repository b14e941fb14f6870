"""The keys a process knows, read again when their file changes."""

import asyncio
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final

import structlog

from service.access.caller import Caller
from service.access.key_file import KeyFile, Signature
from service.access.keys import KeyEntry, opens, split_key
from service.config_access import RateLimits
from service.errors import ConfigError

LOOK_SECONDS: Final = 1.0
"""How long a changed file may go unnoticed."""

_log = structlog.get_logger(__name__)


def _now() -> datetime:
    return datetime.now(UTC)


class Keyring:
    """Tells callers by their keys.

    A file that has become unreadable changes nothing and is logged: a slip of the pen must not lock everybody out.

    Args:
        file: Where the keys are.
        defaults: Limits of keys that have none of their own.
        now: The time of day, for expiry.
        clock: Seconds, for looking at the file now and then.

    Raises:
        ConfigError: the file cannot be read.
    """

    def __init__(
        self,
        file: KeyFile,
        defaults: RateLimits | None = None,
        now: Callable[[], datetime] = _now,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._file = file
        self._defaults = defaults or RateLimits()
        self._now = now
        self._clock = clock
        self._signature = self._look()
        self._entries = self._read()
        self._look_at = clock() + LOOK_SECONDS

    def usable(self) -> int:
        """Return how many keys open the API now."""
        now = self._now()
        return sum(e.usable(now) and e.scope == "api" for e in self._entries.values())

    async def caller(self, key: str | None) -> Caller | None:
        """Return whose key it is; None for one that is missing, malformed, unknown, disabled or expired.

        All of them take the same steps, so that time does not tell them apart.
        """
        await self._refresh()
        key_id, secret = split_key(key or "")
        entry = self._entries.get(key_id)
        fits = opens(secret, entry)
        if entry is None or not fits or not entry.usable(self._now()):
            return None
        return Caller(entry.tenant, entry.id, entry.scope, entry.limits.over(self._defaults))

    async def _refresh(self) -> None:
        if self._clock() < self._look_at:
            return
        # Set before the first await: whoever comes meanwhile goes on with what is known.
        self._look_at = self._clock() + LOOK_SECONDS
        signature = self._look()
        if signature == self._signature:
            return
        # Before it is read: a change in between is read twice, and what cannot be read only once.
        self._signature = signature
        try:
            self._entries = await asyncio.to_thread(self._read)
        except ConfigError as error:
            _log.error("keys_unreadable", reason=str(error))
            return
        _log.info("keys_read", keys=len(self._entries))

    def _look(self) -> Signature | None:
        try:
            return self._file.signature()
        except OSError:
            return None

    def _read(self) -> Mapping[str, KeyEntry]:
        return {entry.id: entry for entry in self._file.read()}
