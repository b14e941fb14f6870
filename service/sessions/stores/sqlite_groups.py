"""Commits of several sessions that wait for the disk together: one transaction, one fsync, one answer each."""

import sqlite3
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from service.errors import ServiceError, Unavailable
from service.failpoints import reach
from service.sessions.stores.base import Commit, CorruptRow
from service.sessions.stores.sqlite_file import transaction, translate
from service.sessions.stores.sqlite_rows import write_commit, write_session
from service.sessions.stores.sqlite_thread import SqliteThread

MOST: Final = 32
"""Commits in one transaction; each rewrites a state, so a larger one would only make the others wait."""


@dataclass(slots=True)
class _Waiting:
    """A commit on its way; the outcome is known only once its transaction is over."""

    commit: Commit
    abandoned: bool = False
    outcome: bool | ServiceError | CorruptRow | None = None


class GroupCommit:
    """Writes commits in the order they come, as many at a time as are waiting.

    Args:
        thread: Where the database is used.
        most: Commits in one transaction.
    """

    def __init__(self, thread: SqliteThread, most: int = MOST) -> None:
        self._thread = thread
        self._most = most
        self._waiting: deque[_Waiting] = deque()

    async def commit(self, commit: Commit) -> bool:
        """See `SessionStore.commit`."""
        mine = _Waiting(commit)
        self._waiting.append(mine)
        try:
            # Pieces of work run in order, and each takes at least one commit: mine is written when this returns.
            await self._thread.run(self._write)
        except BaseException as error:
            # Should it still be waiting, the next commit must not take it along: nobody expects it any more.
            mine.abandoned = True
            # What failed may be a later group, and mine was written with the one before.
            if not isinstance(error, Exception) or not isinstance(mine.outcome, bool):
                raise
        if isinstance(mine.outcome, bool):
            return mine.outcome
        raise mine.outcome or _unavailable()

    def _write(self, database: sqlite3.Connection) -> None:
        group = self._next_group()
        if not group:
            return
        try:
            with transaction(database):
                outcomes = [_apply(database, waiting.commit) for waiting in group]
                reach("store.write")
        except BaseException as error:
            # Not only what SQLite reports as its own: no memory is a MemoryError, and undoes the transaction all the
            # same. Whatever it was, nobody in the group may hear that it was written.
            for waiting in group:
                waiting.outcome = _failure(error)
            raise
        for waiting, outcome in zip(group, outcomes, strict=True):
            waiting.outcome = outcome

    def _next_group(self) -> list[_Waiting]:
        group: list[_Waiting] = []
        with suppress(IndexError):
            while len(group) < self._most:
                waiting = self._waiting.popleft()
                if not waiting.abandoned:
                    group.append(waiting)
        return group


def _apply(database: sqlite3.Connection, commit: Commit) -> bool | CorruptRow:
    """Write one commit within the group's transaction, or nothing of it; return what to tell of it then."""
    database.execute("SAVEPOINT one")
    outcome: bool | CorruptRow = False
    try:
        session = write_session(database, commit.record, commit.expected_version)
        if session is not None:
            write_commit(database, session, commit)
            outcome = True
    except CorruptRow as broken:
        database.execute("ROLLBACK TO one")
        outcome = broken
    database.execute("RELEASE one")
    return outcome


def _failure(error: BaseException) -> ServiceError:
    failure = translate(error) if isinstance(error, sqlite3.DatabaseError) else _unavailable()
    failure.__cause__ = error
    return failure


def _unavailable() -> ServiceError:
    return Unavailable("store_unavailable", "the session store failed")
