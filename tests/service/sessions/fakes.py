"""A deterministic reader, a listener and record makers for the session tests."""

import asyncio
import hashlib
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from models.memory import Memory
from service.errors import Unavailable
from service.ports import AppendCommand, ModelInfo, RevisitCommand, StageTimes
from service.sessions.changes import next_record
from service.sessions.codec import MemoryShape, StateArrays, document_vector, encode
from service.sessions.observer import SessionEvent
from service.sessions.reading import Reading, SecondLook
from service.sessions.records import SessionRecord
from service.sessions.state import SessionState
from service.sessions.stores.base import Commit, SessionStore
from tests.service.sessions.made import TENANT, make_chunk, make_commit, make_record

__all__ = ["TENANT", "make_chunk", "make_commit", "make_record"]

WIDTH = 4
SHAPE = {"matrix": (2, 1, 2, 2), "normaliser": (2, 1, 2), "other.sum": (3,)}
INFO = ModelInfo(
    id="fake",
    attention="infini",
    dimensions=WIDTH,
    max_chunk_tokens=64,
    memory_bytes=60,
    fingerprint="f" * 64,
    base="none",
)


class FakeReader:
    """Vectors depend on the text and on everything read before, in order.

    `gate` holds readings back until it is set, `fail_on` makes one text fail, `meanwhile` happens
    during each reading, `distort` changes what comes out.
    """

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.gate.set()
        self.started = asyncio.Event()
        self.fail_on: str | None = None
        self.meanwhile: Callable[[str], Awaitable[object]] | None = None
        self.distort: Callable[[Reading], Reading] = lambda reading: reading
        self.texts: list[str] = []
        self.admitted: list[bool] = []
        self.looked: list[tuple[str, ...]] = []
        self.shape: MemoryShape = SHAPE

    def empty(self) -> Memory:
        return Memory.empty(self.shape)

    async def read(self, text: str, memory: Memory, *, admitted: bool = False) -> Reading:
        self.texts.append(text)
        self.admitted.append(admitted)
        self.started.set()
        await self.gate.wait()
        if self.meanwhile is not None:
            await self.meanwhile(text)
        await asyncio.sleep(0)
        if text == self.fail_on:
            raise Unavailable("overloaded", "the queue is full")
        return self.distort(self.compute(text, memory))

    async def look(self, texts: Sequence[str], memory: Memory) -> SecondLook:
        self.looked.append(tuple(texts))
        await asyncio.sleep(0)
        readings = [self.compute(text, memory) for text in texts]
        return SecondLook(
            np.stack([reading.embedding for reading in readings]),
            tuple(reading.tokens for reading in readings),
            sum(reading.tokens + 2 for reading in readings),
            StageTimes(infer=0.25),
        )

    def compute(self, text: str, memory: Memory) -> Reading:
        tokens = len(text.split())
        seed = np.frombuffer(hashlib.sha256(text.encode()).digest()[: 2 * WIDTH], "<u2")
        noise = torch.from_numpy(seed.astype(np.float32) / 65535 - 0.5)
        matrix, normaliser = memory.parts["matrix"], memory.parts["normaliser"]
        past = matrix.reshape(-1)[:WIDTH]
        vector = noise + 0.5 * past
        vector = vector / vector.norm()
        if tokens == 0:
            return Reading(vector.numpy(), 0, 2, memory, StageTimes(infer=0.5))
        parts = {
            **memory.parts,
            "matrix": matrix * 0.75 + vector.reshape(1, 1, 2, 2),
            "normaliser": normaliser + tokens,
        }
        after = Memory(parts, memory.tokens_seen + tokens)
        return Reading(vector.numpy(), tokens, tokens + 2, after, StageTimes(infer=0.5))

    def fold(self, texts: Sequence[str]) -> tuple[list[NDArray[np.float32]], NDArray[np.float32]]:
        """Return the chunk vectors and the document vector of a document, without a service."""
        memory, total, vectors = self.empty(), np.zeros(WIDTH), []
        for text in texts:
            reading = self.compute(text, memory)
            vectors.append(reading.embedding)
            total = total + reading.embedding.astype(np.float64) * reading.tokens
            memory = reading.memory
        return vectors, document_vector(total)


@dataclass
class Listener:
    """An observer that remembers."""

    events: Counter[str] = field(default_factory=Counter)
    positions: list[int] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def event(self, name: SessionEvent) -> None:
        self.events[name] += 1

    def appended(self, position_tokens: int, tokens: int, seconds: float) -> None:
        self.positions.append(position_tokens)
        self.tokens.append(tokens)
        self.seconds.append(seconds)


def ticking(start: float = 1000.0) -> Callable[[], float]:
    """Return a clock that moves by one second a look."""
    now = [start]

    def clock() -> float:
        now[0] += 1.0
        return now[0]

    return clock


def command(
    *chunks: str,
    session: str = "s",
    first: int | None = None,
    if_match: tuple[str, ...] | None = None,
    key: str | None = None,
    document: bool = False,
    moves: bool = False,
) -> AppendCommand:
    return AppendCommand(
        TENANT, session, chunks, first, if_match, key, want_document=document, key_moves=moves
    )


def revisit(
    *chunks: str, first: int = 0, if_match: tuple[str, ...] | None = None
) -> RevisitCommand:
    return RevisitCommand(TENANT, "s", first, chunks, if_match)


def make_state(seed: int = 0, width: int = WIDTH) -> StateArrays:
    draw = np.random.default_rng(seed)
    return StateArrays(
        parts={
            name: draw.standard_normal(shape).astype(np.float32) for name, shape in SHAPE.items()
        },
        tokens_seen=7,
        document=draw.standard_normal(width),
        tokens=5,
    )


def as_session_state(arrays: StateArrays) -> SessionState:
    return SessionState.from_arrays(arrays, Memory.empty(SHAPE))


async def advance(
    store: SessionStore, record: SessionRecord, blob: bytes | None = None, tokens: int = 5
) -> SessionRecord:
    """Commit one chunk whose state is `blob`."""
    state = encode(make_state()) if blob is None else blob
    following = next_record(record, tokens, len(state), 50.0)
    assert await store.commit(Commit(record.version, following, state, make_chunk(record.next_seq)))
    return following
