"""Sessions that begin with many chunks, in SQLite: copied piece by piece, so that other writers never wait for all.

A draft has the number of the session that is to be, and no row among the sessions: nobody sees its chunks until the
last transaction adds that row. What a crash leaves over is removed, also piece by piece, by sweeps an hour later.
"""

import asyncio
import sqlite3
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final, Protocol, TypeVar

from service.errors import ServiceError, Unavailable
from service.sessions.origins import Beginning, BeginOutcome
from service.sessions.stores import sqlite_origins as origins
from service.sessions.stores import sqlite_queries as sql
from service.sessions.stores.sqlite_file import transaction

PIECE: Final = 256
"""Chunks of one transaction; some 400 KB."""
CLEARED: Final = 32
"""Pieces of drafts that one look for what is due removes."""
DRAFT_SECONDS: Final = 3600.0
"""Age at which a draft may be taken for what a crash left: far more than a caller waits."""

_CONDEMN: Final = "UPDATE drafts SET due = -1 WHERE session = ? AND due <= ?"
_FINISH: Final = "DELETE FROM drafts WHERE session = ? AND due >= 0"
_REMOVE: Final = "DELETE FROM drafts WHERE session = ?"
_CLEAR: Final = """
    DELETE FROM chunks WHERE session = ?1
    AND seq IN (SELECT seq FROM chunks WHERE session = ?1 ORDER BY seq LIMIT ?2)
"""
DUE: Final = "SELECT session FROM drafts WHERE due <= ? LIMIT 1"
"""A draft that came to nothing; condemned ones have been due for ever."""

T = TypeVar("T")


class _Run(Protocol):
    def __call__(self, work: Callable[[sqlite3.Connection], T], /) -> Awaitable[T]: ...


def is_long(beginning: Beginning) -> bool:
    """Whether a session begins with more chunks than one transaction should copy."""
    source = beginning.source
    kept_from = beginning.record.kept_from if source is None else source.kept_from
    return beginning.record.next_seq - kept_from > PIECE


async def begin(run: _Run, beginning: Beginning) -> BeginOutcome:
    """Begin a session with many chunks.

    Args:
        run: Does one piece of work with the database.
        beginning: The session.

    Raises:
        CorruptRow: What is stored of its source does not verify.
        Unavailable: `store_unavailable`: it took so long that a sweep took it for what a crash left.
    """
    reserved = await run(lambda database: _reserve(database, beginning))
    if isinstance(reserved, str):
        return reserved
    outcome: BeginOutcome = "source_gone"
    try:
        if await _lay_out(run, beginning, reserved):
            outcome = await run(lambda database: _finish(database, beginning, reserved))
    finally:
        if outcome != "begun":
            with suppress(ServiceError):  # a sweep finds it all the same, only later
                await run(lambda database: database.execute(_CONDEMN, (reserved, float("inf"))))
    return outcome


def clear(database: sqlite3.Connection, now: float) -> None:
    """Remove a piece of a draft that is due at `now`, and the draft itself once nothing is left of it."""
    with transaction(database):
        row = database.execute(DUE, (now,)).fetchone()
        if row is not None:
            # From here on it cannot become a session any more.
            database.execute(_CONDEMN, (row[0], now))
            if not database.execute(_CLEAR, (row[0], PIECE)).rowcount:
                database.execute(_REMOVE, row)


async def _lay_out(run: _Run, beginning: Beginning, draft: int) -> bool:
    """Write all pieces; return False if the source is gone."""
    at: int | None = beginning.record.kept_from
    while at is not None and at < beginning.record.next_seq:
        first, began = at, time.monotonic()
        at = await run(lambda database: _write(database, beginning, draft, first))  # noqa: B023 - awaited here
        # Other processes ask for the lock now and then and do not queue: half of the time is theirs.
        await asyncio.sleep(time.monotonic() - began)
    return at is not None


def _reserve(database: sqlite3.Connection, beginning: Beginning) -> int | BeginOutcome:
    """Return the number of a new draft, or why the session cannot begin."""
    record = beginning.record
    with transaction(database):
        obstacle = origins.obstacle(database, beginning)
        if obstacle is not None:
            return obstacle
        if database.execute(sql.GET, (record.tenant, record.id)).fetchone():
            return "id_taken"
        row: Any = database.execute(sql.RESERVE, (record.created_at + DRAFT_SECONDS,)).fetchone()
        return int(row[0])


def _write(
    database: sqlite3.Connection, beginning: Beginning, draft: int, first: int
) -> int | None:
    """Write a piece from chunk `first` on; return where the next begins, None if the source is gone."""
    record, source = beginning.record, beginning.source
    with transaction(database):
        if source is None:
            at = first - record.kept_from
            origins.add_chunks(database, draft, beginning.chunks[at : at + PIECE])
            return first + PIECE
        parent = origins.parent_of(database, source)
        if parent is None:
            return None
        first = max(first, parent.record.kept_from)
        end = min(first + PIECE, record.next_seq)
        if first < end:
            origins.copy(database, draft, parent, first, end)
        return end


def _finish(database: sqlite3.Connection, beginning: Beginning, draft: int) -> BeginOutcome:
    with transaction(database):
        outcome = origins.begin(database, beginning, draft)
        if outcome == "begun" and database.execute(_FINISH, (draft,)).rowcount != 1:
            raise Unavailable(
                "store_unavailable", "the session store was too slow; nothing was stored"
            )
        return outcome
