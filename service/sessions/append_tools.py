"""What every append of a replica works with, and whatever else it does with sessions."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from service.ports import AppendCommand, ModelInfo
from service.sessions.hot import HotStates
from service.sessions.observer import SessionObserver
from service.sessions.origins import NO_TRAITS
from service.sessions.reading import ChunkReader
from service.sessions.records import KeyRecord, SessionRecord
from service.sessions.recovery import Recovery
from service.sessions.retention import Retention
from service.sessions.stores.base import SessionStore

_AFTERTHOUGHT_S: Final = 0.25
"""Longest time to find out how far a session came whose commit has failed."""


@dataclass(frozen=True, slots=True)
class AppendTools:
    """The parts of a replica that its appends share.

    Attributes:
        store: Where sessions live; open.
        reader: The model.
        info: What the model is; what it reads must have been begun with its fingerprint.
        hot: States beside the store.
        retention: What sessions keep of their past.
        clock: Unix time, seconds.
        observer: Told what happens.
        recovery: Reads states back from `store`.
    """

    store: SessionStore
    reader: ChunkReader
    info: ModelInfo
    hot: HotStates
    retention: Retention
    clock: Callable[[], float]
    observer: SessionObserver
    recovery: Recovery

    async def key_of(self, command: AppendCommand) -> KeyRecord | None:
        """Return what the idempotency key of an append stands for; None if it is new, or there is none."""
        if command.idempotency_key is None:
            return None
        return await self.store.key(command.tenant, command.session_id, command.idempotency_key)

    async def afterthought(self, command: AppendCommand) -> SessionRecord | None:
        """Return how far the session of an append came whose commit has failed; None if that cannot be told soon."""
        # The caller is to hear of the first error, not of one more, and soon also where the store hangs.
        with suppress(Exception):
            async with asyncio.timeout(_AFTERTHOUGHT_S):
                return await self.store.get(command.tenant, command.session_id)
        return None

    async def is_indexed(self, tenant: str, session_id: str) -> bool:
        """Return whether a session is searched, where that makes a difference to what is kept of it."""
        if self.retention.answers is None:
            return False
        traits = await self.store.traits(tenant, [session_id])
        return traits.get(session_id, NO_TRAITS).indexed
