"""What every append of a replica works with, and whatever else it does with sessions."""

from collections.abc import Callable
from dataclasses import dataclass

from service.ports import ModelInfo
from service.sessions.hot import HotStates
from service.sessions.observer import SessionObserver
from service.sessions.origins import NO_TRAITS
from service.sessions.reading import ChunkReader
from service.sessions.recovery import Recovery
from service.sessions.retention import Retention
from service.sessions.stores.base import SessionStore


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

    async def is_indexed(self, tenant: str, session_id: str) -> bool:
        """Return whether a session is searched, where that makes a difference to what is kept of it."""
        if self.retention.answers is None:
            return False
        traits = await self.store.traits(tenant, [session_id])
        return traits.get(session_id, NO_TRAITS).indexed
