"""Clients of sessions that two replicas own at once, over one store that now and then fails them.

Everything runs in one event loop: real appenders, hot states, recovery, catalog and store; a model that is exact and
fast. `run_group` returns the histories and the chains of a group of sessions, for the checker.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from service.errors import Conflict, ServiceError, Unavailable
from service.ports import AppendCommand
from service.sessions.appender import Appender
from service.sessions.catalog import SessionCatalog
from service.sessions.codec import document_vector
from service.sessions.hot import HotStates
from service.sessions.stores import SessionStore
from service.sessions.stores.forwarding import ForwardingStore
from tests.chaos.checker import Folded
from tests.chaos.client import Answer, Client, Habits, Refused, Request, Unanswered
from tests.chaos.history import Link, Operation, Told, fingerprint
from tests.service.sessions.begun import begin_session
from tests.service.sessions.bench import STATE_BYTES
from tests.service.sessions.fakes import INFO, TENANT, WIDTH, FakeReader

T = TypeVar("T")

OWNERS = 2
_SWITCHES = 3
"""Most times that others run before and after an operation of the store, and while a chunk is read."""


@dataclass(frozen=True, slots=True)
class Mischief:
    """What happens beside the clients' own races.

    Attributes:
        refuse: Share of the store's operations that are not done and raise.
        forget: Share of its operations that are done and raise nevertheless.
        hot_states: States that an owner keeps in memory.
    """

    refuse: float = 0.01
    forget: float = 0.01
    hot_states: int = 3


class FlakyStore(ForwardingStore):
    """A store whose operations take time, and sometimes fail before or after they are done."""

    def __init__(self, store: SessionStore, mischief: Mischief, rng: random.Random) -> None:
        super().__init__(store)
        self._mischief = mischief
        self._random = rng
        self.lost_races = 0

    async def _around(self, operation: str, work: Callable[[], Awaitable[T]]) -> T:
        await switch(self._random)
        if self._random.random() < self._mischief.refuse:
            raise Unavailable("store_unavailable", f"{operation} was not done")
        result = await work()
        self.lost_races += operation == "commit" and result is False
        await switch(self._random)
        if self._random.random() < self._mischief.forget:
            raise Unavailable("store_unavailable", f"the answer to {operation} was lost")
        return result


async def switch(rng: random.Random) -> None:
    """Let others run, for a random while."""
    for _ in range(rng.randint(0, _SWITCHES)):
        await asyncio.sleep(0)


class Owners:
    """Replicas over one store, each believing that every session is its own."""

    def __init__(self, store: SessionStore, mischief: Mischief, rng: random.Random) -> None:
        self.store = store
        self.flaky = FlakyStore(store, mischief, rng)
        self.appenders = [
            Appender(
                self.flaky, self._reader(rng), INFO, HotStates(mischief.hot_states * STATE_BYTES)
            )
            for _ in range(OWNERS)
        ]
        self._catalog = SessionCatalog(self.flaky)
        self._random = rng

    async def append(self, session: str, request: Request) -> Answer:
        """See `Wire.append`; any owner gets it."""
        command = AppendCommand(
            TENANT,
            session,
            request.texts,
            request.first_seq,
            idempotency_key=request.key,
            want_document=request.want_document,
        )
        result = await _told(self._random.choice(self.appenders).append(command))
        told = tuple(
            Told(one.seq, fingerprint(one.embedding), one.replayed) for one in result.answers
        )
        document = None if result.document is None else fingerprint(result.document)
        return Answer(result.next_seq, told, document)

    async def read(self, session: str) -> Answer:
        """See `Wire.read`."""
        record, document = await _told(self._catalog.document(TENANT, session))
        return Answer(record.next_seq, document=fingerprint(document))

    def _reader(self, rng: random.Random) -> FakeReader:
        reader = FakeReader()

        async def meanwhile(_: str) -> None:
            reader.texts.clear()
            await switch(rng)

        reader.meanwhile = meanwhile
        return reader

    async def chain(self, session: str) -> list[Link]:
        """Return what the store has of a session."""
        chunks = await self.store.chunks(TENANT, session, 0, 1_000_000)
        return [
            Link(chunk.digest.hex(), fingerprint(np.frombuffer(chunk.embedding, "<f4")))
            for chunk in chunks
        ]


@dataclass(frozen=True, slots=True)
class Case:
    """A session that is over, for the checker."""

    session: str
    operations: Sequence[Operation]
    chain: Sequence[Link]


async def run_group(
    owners: Owners, sessions: Sequence[str], clients: int, operations: int, rng: random.Random
) -> list[Case]:
    """Let clients work on sessions, all at once.

    Args:
        owners: The replicas.
        sessions: Names of new sessions.
        clients: Clients of each session.
        operations: Operations of each client.
        rng: Decides what they do.
    """
    workers = []
    catalog = SessionCatalog(owners.store)
    for session in sessions:
        await begin_session(catalog, TENANT, INFO, session)
        workers.append(
            [Client(f"{session}.{who}", session, owners, rng, Habits()) for who in range(clients)]
        )
    await asyncio.gather(*(each.work(operations) for group in workers for each in group))
    for appender in owners.appenders:
        await appender.drain()
    # One more look at each state, when nobody changes it any more.
    last = Habits(kinds=(("read", 1.0),))
    for session, group in zip(sessions, workers, strict=True):
        group.append(Client(f"{session}.last", session, owners, rng, last))
        await group[-1].work(1)
    return [
        Case(session, [one for each in group for one in each.history], await owners.chain(session))
        for session, group in zip(sessions, workers, strict=True)
    ]


def fold(texts: Sequence[str]) -> Folded:
    """Return what the model makes of texts that are read in order, by nobody but itself."""
    reader = FakeReader()
    memory, total = reader.empty(), np.zeros(WIDTH)
    vectors, documents = [], [fingerprint(document_vector(total))]
    for text in texts:
        reading = reader.compute(text, memory)
        memory = reading.memory
        total = total + reading.embedding.astype(np.float64) * reading.tokens
        vectors.append(fingerprint(reading.embedding))
        documents.append(fingerprint(document_vector(total)))
    return Folded(vectors, documents)


async def _told(work: Awaitable[T]) -> T:
    """Turn what the service raises into what a client of it hears."""
    try:
        return await work
    except Unavailable as error:
        raise Unanswered(error.code) from error
    except Conflict as error:
        if error.code == "request_in_progress":
            raise Unanswered(error.code) from error
        raise Refused(error.code, error.extras.get("expected_seq")) from error
    except ServiceError as error:
        raise Refused(error.code) from error
