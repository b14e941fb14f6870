"""A client that records everything it wants and is told, whatever is between it and the sessions."""

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Protocol

from tests.chaos.history import Kind, Operation, Told


@dataclass(frozen=True, slots=True)
class Request:
    """Chunks to append; see `service.ports.AppendCommand`."""

    texts: tuple[str, ...]
    first_seq: int | None
    key: str | None
    want_document: bool

    @property
    def repeatable(self) -> bool:
        """Whether it may be sent again without being done again."""
        return self.first_seq is not None or self.key is not None


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; see `Operation`."""

    next_seq: int
    told: tuple[Told, ...] = ()
    document: str | None = None


class Refused(Exception):
    """A definite no: a code, and the number that the session expects where that was said."""

    def __init__(self, code: str, expected_seq: int | None = None) -> None:
        super().__init__(code, expected_seq)
        self.code = code
        self.expected_seq = expected_seq


class Unanswered(Exception):
    """No answer, or one that asks to try again; whether anything was done is not known."""


class Wire(Protocol):
    """A way to the sessions. Both methods raise `Refused` or `Unanswered`."""

    async def append(self, session: str, request: Request) -> Answer:
        """Send an append once."""
        ...

    async def read(self, session: str) -> Answer:
        """Ask once for the document vector and how far it goes."""
        ...


@dataclass(frozen=True, slots=True)
class Habits:
    """What a client is like.

    Attributes:
        kinds: Weights of the kinds of operations.
        most_chunks: Chunks of its largest append.
        bare: Share of its appends with neither number nor key, which it sends only once.
        pause_s: Longest time between operations.
        retry_s: Time before it tries again.
        attempts: Times it tries.
        text: Makes a chunk of a name that no other chunk has.
    """

    kinds: tuple[tuple[Kind, float], ...] = (
        ("append", 0.6),
        ("repeat", 0.15),
        ("clash", 0.1),
        ("read", 0.15),
    )
    most_chunks: int = 3
    bare: float = 0.05
    pause_s: float = 0.0
    retry_s: float = 0.0
    attempts: int = 60
    text: Callable[[str], str] = str


_REMEMBERED: Final = 24
"""Acknowledged appends that a client may repeat."""


class Client:
    """Works on one session, one operation at a time.

    Args:
        name: Its name, part of every text.
        session: Where.
        wire: How.
        rng: Decides what it does.
        habits: What it is like.
    """

    def __init__(
        self, name: str, session: str, wire: Wire, rng: random.Random, habits: Habits
    ) -> None:
        self.history: list[Operation] = []
        self.session = session
        self._name = name
        self._wire = wire
        self._random = rng
        self._habits = habits
        self._acknowledged: list[Operation] = []
        self._count = 0
        self._next_seq = 0

    async def work(self, operations: int | None, stop: asyncio.Event | None = None) -> None:
        """Do so many operations, or as many as it can until it is stopped."""
        while operations is None or len(self.history) < operations:
            if stop is not None and stop.is_set():
                return
            await self.once()
            if self._habits.pause_s:
                await asyncio.sleep(self._random.uniform(0, self._habits.pause_s))

    async def once(self) -> Operation:
        """Do one operation and return what was recorded."""
        kinds, weights = zip(*self._habits.kinds, strict=True)
        [kind] = self._random.choices(kinds, weights)
        if kind in {"repeat", "clash"} and not self._acknowledged:
            kind = "append"
        done = await self._do(kind, self._request(kind))
        self.history.append(done)
        if kind == "append" and done.outcome == "ok":
            # Only what it may send twice can be repeated.
            if done.first_seq is not None or done.key is not None:
                self._acknowledged = [*self._acknowledged, done][-_REMEMBERED:]
            self._next_seq = done.told[-1].seq + 1
        return done

    def _request(self, kind: Kind) -> Request | None:
        draw = self._random
        if kind == "read":
            return None
        if kind == "append":
            texts = tuple(self._text() for _ in range(draw.randint(1, self._habits.most_chunks)))
            document = draw.random() < 0.2
            if draw.random() < self._habits.bare:
                return Request(texts, None, None, document)
            numbered, keyed = draw.choice([(True, False), (False, True), (True, True)])
            key = f"{self._name}-{self._count}" if keyed else None
            return Request(texts, self._next_seq if numbered else None, key, document)
        past = draw.choice(self._acknowledged)
        if kind == "repeat":
            return Request(past.texts, past.first_seq, past.key, want_document=False)
        return Request((self._text(),), draw.choice(past.told).seq, None, want_document=False)

    def _text(self) -> str:
        self._count += 1
        return self._habits.text(f"{self._name}-{self._count}")

    async def _do(self, kind: Kind, request: Request | None) -> Operation:
        began = time.perf_counter()
        blank = Operation(self._name, self.session, kind, began, began, "unknown")
        if request is not None:
            blank = replace(
                blank, texts=request.texts, first_seq=request.first_seq, key=request.key
            )
        most = self._habits.attempts if request is None or request.repeatable else 1
        for attempt in range(1, most + 1):
            tried = replace(blank, attempts=attempt)
            try:
                answer = await (
                    self._wire.read(self.session)
                    if request is None
                    else self._wire.append(self.session, request)
                )
            except Unanswered as error:
                blank = replace(tried, ended=time.perf_counter(), error=str(error))
                await asyncio.sleep(self._habits.retry_s)
                continue
            except Refused as error:
                if error.expected_seq is not None:
                    self._next_seq = error.expected_seq
                return replace(
                    tried, ended=time.perf_counter(), outcome="refused", error=error.code
                )
            return replace(
                tried,
                ended=time.perf_counter(),
                outcome="ok",
                error=None,
                told=answer.told,
                next_seq=answer.next_seq,
                document=answer.document,
            )
        return blank
