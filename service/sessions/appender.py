"""Data plane of sessions: what an encoder replica does with an append.

The store decides what is true. The lock per session and the hot states only save work: every append
reads the session's header first, uses a hot state only if it is exactly that version, and commits by
compare-and-set. So two replicas may own a session for a while, and the log stays one chain.
"""

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import Final

from service.errors import BadRequest
from service.ports import AppendCommand, AppendResult, ModelInfo
from service.sessions.append_run import AppendRun
from service.sessions.append_tools import AppendTools
from service.sessions.codec import state_bytes
from service.sessions.hot import HotStates
from service.sessions.locks import KeyedLocks
from service.sessions.names import IDEMPOTENCY_KEY
from service.sessions.observer import SessionObserver, SilentObserver
from service.sessions.protocol import chunk_digests
from service.sessions.reading import ChunkReader
from service.sessions.recovery import Recovery
from service.sessions.retention import Retention
from service.sessions.stores.base import SessionStore

MOST_WAITING: Final = 64
"""Appends that may wait for one session; each holds its chunks in memory."""

_SessionKey = tuple[str, str]


class Appender:
    """Reads chunks into sessions of one model; every answer is durable before it is returned.

    Args:
        store: Where sessions live; open.
        reader: The model.
        info: What the model is.
        hot: States beside the store; of this model only.
        retention: What sessions keep of their past; by default all answers and no snapshots.
        clock: Unix time, seconds.
        observer: Told of `append`, `replay`, `conflict`, `recover`, `lost` and of each chunk's time.
    """

    def __init__(  # noqa: PLR0913 - the composition root names every part once
        self,
        store: SessionStore,
        reader: ChunkReader,
        info: ModelInfo,
        hot: HotStates,
        *,
        retention: Retention | None = None,
        clock: Callable[[], float] = time.time,
        observer: SessionObserver | None = None,
    ) -> None:
        listener: SessionObserver = observer or SilentObserver()
        shape = reader.empty().shapes
        self._tools = AppendTools(
            store=store,
            reader=reader,
            info=info,
            hot=hot,
            retention=retention or Retention(),
            clock=clock,
            observer=listener,
            recovery=Recovery(store, clock, listener),
        )
        self._state_bytes = state_bytes(shape, info.dimensions)
        self._locks = KeyedLocks(MOST_WAITING)
        self._running: set[asyncio.Task[AppendResult]] = set()

    @property
    def tools(self) -> AppendTools:
        """The parts of the replica that work with sessions beside appends uses too."""
        return self._tools

    @property
    def state_bytes(self) -> int:
        """Bytes one session's state takes in the store, whatever it has read."""
        return self._state_bytes

    @property
    def running(self) -> int:
        """Appends under way, also those whose caller has gone."""
        return len(self._running)

    async def append(self, command: AppendCommand) -> AppendResult:
        """Read the command's chunks.

        A caller that is cancelled while other appends to the session run has asked for nothing; once
        its own runs, cancelling does not stop it.

        Raises:
            BadRequest: `invalid_request`: no chunks, a negative `first_seq`, text that is not
                Unicode, or a key that is not 1 to 255 printable ASCII characters without spaces.
            NotFound, Gone, Conflict, PreconditionFailed, Unprocessable, Unavailable, OutOfStorage:
                As `service.ports.EncoderPort.append`, with `next_seq` once the session was read;
                `overloaded` also if too many appends wait for the session.
            InternalError: Anything unforeseen, with `next_seq` likewise.
        """
        run = AppendRun(self._tools, command, _checked(command))
        session = (command.tenant, command.session_id)
        await self._locks.acquire(session)
        task = asyncio.create_task(run.run())
        self._running.add(task)
        # Not in the task: one that is cancelled before its first step would keep the lock.
        task.add_done_callback(partial(self._ended, session))
        return await asyncio.shield(task)

    async def drain(self) -> None:
        """Wait until no append runs or waits; the caller sees to it that no new ones come."""
        while len(self._locks):
            # Between two appends to a session none runs: the next is about to wake up.
            await (asyncio.wait(self._running) if self._running else asyncio.sleep(0))

    def _ended(self, session: _SessionKey, task: asyncio.Task[AppendResult]) -> None:
        self._running.discard(task)
        self._locks.release(session)


def _checked(command: AppendCommand) -> tuple[bytes, ...]:
    """Return the chunks' digests, or refuse what cannot be an append."""
    if not command.chunks:
        raise BadRequest("invalid_request", "an append needs at least one chunk", param="chunks")
    if command.first_seq is not None and command.first_seq < 0:
        raise BadRequest("invalid_request", "first_seq counts from 0", param="first_seq")
    key = command.idempotency_key
    if key is not None and not IDEMPOTENCY_KEY.fullmatch(key):
        raise BadRequest(
            "invalid_request",
            "Idempotency-Key must be 1 to 255 printable ASCII characters without spaces",
            param="Idempotency-Key",
        )
    return chunk_digests(command.chunks)
