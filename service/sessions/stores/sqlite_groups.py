"""Commits of several sessions that wait for the disk together: one transaction, one fsync, one answer each."""

import sqlite3
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from service.errors import ServiceError
from service.failpoints import reach
from service.sessions.stores.base import Commit, CorruptRow
from service.sessions.stores.sqlite_file import transaction, translate
from service.sessions.stores.sqlite_rows import write_commit, write_session
from service.sessions.stores.sqlite_thread import SqliteThread

MOST: Final = 32
"""Commits in one transaction; each rewrites a state, so a larger one would only make the others wait."""


@dataclass(slots=True)
class _Waiting:
    commit: Commit
    abandoned: bool = False
    done: bool = False
    error: ServiceError | CorruptRow | None = None


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
        except BaseException:
            # Should it still be waiting, the next commit must not take it along: nobody expects it any more.
            mine.abandoned = True
            raise
        if mine.error is not None:
            raise mine.error
        return mine.done

    def _write(self, database: sqlite3.Connection) -> None:
        group = self._next_group()
        if not group:
            return
        try:
            with transaction(database):
                for waiting in group:
                    _apply(database, waiting)
                reach("store.write")
        except sqlite3.DatabaseError as error:
            for waiting in group:
                waiting.done, waiting.error = False, translate(error)
            raise

    def _next_group(self) -> list[_Waiting]:
        group: list[_Waiting] = []
        with suppress(IndexError):
            while len(group) < self._most:
                waiting = self._waiting.popleft()
                if not waiting.abandoned:
                    group.append(waiting)
        return group


def _apply(database: sqlite3.Connection, waiting: _Waiting) -> None:
    """Write one commit within the group's transaction, or nothing of it."""
    commit = waiting.commit
    database.execute("SAVEPOINT one")
    try:
        session = write_session(database, commit.record, commit.expected_version)
        if session is not None:
            write_commit(database, session, commit)
            waiting.done = True
    except CorruptRow as broken:
        database.execute("ROLLBACK TO one")
        waiting.error = broken
    database.execute("RELEASE one")
