"""What every append of a replica works with, and whatever else it does with sessions."""

from collections.abc import Callable
from dataclasses import dataclass

from service.ports import ModelInfo
from service.sessions.hot import HotStates
from service.sessions.observer import SessionObserver
from service.sessions.reading import ChunkReader
from service.sessions.recovery import Recovery
from service.sessions.stores.base import SessionStore


@dataclass(frozen=True, slots=True)
class AppendTools:
    """The parts of a replica that its appends share.

    Attributes:
        store: Where sessions live; open.
        reader: The model.
        info: What the model is; what it reads must have been begun with its fingerprint.
        hot: States beside the store.
        kept_answers: Answers kept per session, None for all.
        clock: Unix time, seconds.
        observer: Told what happens.
        recovery: Reads states back from `store`.
    """

    store: SessionStore
    reader: ChunkReader
    info: ModelInfo
    hot: HotStates
    kept_answers: int | None
    clock: Callable[[], float]
    observer: SessionObserver
    recovery: Recovery
