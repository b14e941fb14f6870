"""Data plane of sessions: what an encoder replica does with an append.

The store decides what is true. The lock per session and the hot states only save work: every append
reads the session's header first, uses a hot state only if it is exactly that version, and commits by
compare-and-set. So two replicas may own a session for a while, and the log stays one chain.
"""

import asyncio
import re
import time
from collections.abc import Callable
from typing import Final

from service.errors import BadRequest
from service.ports import AppendCommand, AppendResult, ModelInfo
from service.sessions.append_run import AppendRun, AppendTools
from service.sessions.codec import state_bytes
from service.sessions.hot import HotStates
from service.sessions.locks import KeyedLocks
from service.sessions.observer import SessionObserver, SilentObserver
from service.sessions.protocol import chunk_digest
from service.sessions.reading import ChunkReader
from service.sessions.recovery import Recovery
from service.sessions.state import memory_shape
from service.sessions.stores.base import SessionStore

_KEY: Final = re.compile(r"[\x21-\x7e]{1,255}")


class Appender:
    """Reads chunks into sessions of one model; every answer is durable before it is returned.

    Args:
        store: Where sessions live; open.
        reader: The model.
        info: What the model is.
        hot: States beside the store; of this model only.
        kept_answers: Answers a session keeps for retries, None for all.
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
        kept_answers: int | None = None,
        clock: Callable[[], float] = time.time,
        observer: SessionObserver | None = None,
    ) -> None:
        listener: SessionObserver = observer or SilentObserver()
        shape = memory_shape(reader.empty())
        self._tools = AppendTools(
            store=store,
            reader=reader,
            info=info,
            hot=hot,
            kept_answers=kept_answers,
            clock=clock,
            observer=listener,
            recovery=Recovery(store, clock, listener, shape),
        )
        self._state_bytes = state_bytes(shape, info.dimensions)
        self._locks = KeyedLocks()
        self._running: set[asyncio.Task[AppendResult]] = set()

    @property
    def state_bytes(self) -> int:
        """Bytes one session's state takes in the store, whatever it has read."""
        return self._state_bytes

    @property
    def running(self) -> int:
        """Appends under way, also those whose caller has gone."""
        return len(self._running)

    async def append(self, command: AppendCommand) -> AppendResult:
        """Read the command's chunks; a caller that is cancelled does not stop it.

        Raises:
            BadRequest: `invalid_request`: no chunks, a negative `first_seq`, text that is not
                Unicode, or a key that is not 1 to 255 printable ASCII characters.
            NotFound, Gone, Conflict, PreconditionFailed, Unprocessable, Unavailable, OutOfStorage:
                As `service.ports.EncoderPort.append`, with `next_seq` once the session was read.
        """
        digests = _checked(command)
        task = asyncio.create_task(self._run(command, digests))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return await asyncio.shield(task)

    async def drain(self) -> None:
        """Wait until no append is under way; the caller sees to it that no new ones come."""
        while self._running:
            await asyncio.wait(self._running)

    async def _run(self, command: AppendCommand, digests: tuple[bytes, ...]) -> AppendResult:
        async with self._locks.hold((command.tenant, command.session_id)):
            return await AppendRun(self._tools, command, digests).run()


def _checked(command: AppendCommand) -> tuple[bytes, ...]:
    """Return the chunks' digests, or refuse what cannot be an append."""
    if not command.chunks:
        raise BadRequest("invalid_request", "an append needs at least one chunk", param="chunks")
    if command.first_seq is not None and command.first_seq < 0:
        raise BadRequest("invalid_request", "first_seq counts from 0", param="first_seq")
    key = command.idempotency_key
    if key is not None and not _KEY.fullmatch(key):
        raise BadRequest(
            "invalid_request",
            "Idempotency-Key must be 1 to 255 printable ASCII characters",
            param="Idempotency-Key",
        )
    try:
        return tuple(chunk_digest(text) for text in command.chunks)
    except UnicodeEncodeError as error:
        raise BadRequest(
            "invalid_request", "a chunk holds an unpaired surrogate", param="chunks"
        ) from error
