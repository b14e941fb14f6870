"""Clients at work on a running service: always so many sessions, a new one for each that has had its share."""

import asyncio
import itertools
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from tests.chaos.client import Client, Habits, Unanswered
from tests.chaos.history import Operation
from tests.chaos.http_wire import HttpWire

WORDS: Final = (
    *("harbour", "fog", "boats", "night", "pier", "bell", "third", "thin", "home", "little"),
    *("the", "a", "under", "and", "while", "twice", "before", "came", "counted", "expected"),
)


def sentence(name: str) -> str:
    """Return a short sentence that no other name has."""
    rng = random.Random(name)  # noqa: S311 - a sentence is no secret
    return f"{name}: {' '.join(rng.choices(WORDS, k=rng.randint(3, 14)))}."


PATIENT: Final = Habits(pause_s=0.1, retry_s=0.2, attempts=600, text=sentence)
"""A client that outlives every fault here."""


@dataclass
class Crew:
    """All that work and what they have done.

    Args:
        wire: The service.
        model: What the sessions are read by.
        seed: Decides what clients do.
        habits: What they are like.
        each: Operations of each client before it moves to a new session; None for all it can do.
    """

    wire: HttpWire
    model: str
    seed: int
    habits: Habits = PATIENT
    each: int | None = 60
    clients: list[Client] = field(default_factory=list)
    _stop: asyncio.Event = field(default_factory=asyncio.Event)

    @asynccontextmanager
    async def working(self, sessions: int, shared: int = 0) -> AsyncIterator["Crew"]:
        """Work while the context is open, and finish what was begun when it closes.

        Args:
            sessions: Sessions at any time.
            shared: How many of them have two clients.
        """
        async with asyncio.TaskGroup() as group:
            try:
                for number in range(sessions):
                    group.create_task(self._places(number, 2 if number < shared else 1))
                yield self
            finally:
                self._stop.set()

    async def _places(self, number: int, clients: int) -> None:
        for count in itertools.count():
            if self._stop.is_set():
                return
            session = f"s{self.seed}-{number}-{count}"
            await self._create(session)
            crowd = [
                Client(f"{session}.{who}", session, self.wire, self._rng(session, who), self.habits)
                for who in range(clients)
            ]
            self.clients += crowd
            await asyncio.gather(*(client.work(self.each, self._stop) for client in crowd))

    async def _create(self, session: str) -> None:
        while True:
            try:
                return await self.wire.create(session, self.model)
            except Unanswered:
                await asyncio.sleep(self.habits.retry_s)

    def _rng(self, session: str, who: int) -> random.Random:
        return random.Random(f"{self.seed} {session} {who}")  # noqa: S311 - a choice is no secret

    def histories(self) -> dict[str, list[Operation]]:
        """Return what was done, by session."""
        found: dict[str, list[Operation]] = {}
        for client in self.clients:
            found.setdefault(client.session, []).extend(client.history)
        return found
