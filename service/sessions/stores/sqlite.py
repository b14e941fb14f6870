"""Sessions in an SQLite file that several processes of one machine share."""

import asyncio
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, Self, TypeVar

from service.errors import Unavailable
from service.sessions.origins import Beginning, BeginOutcome, RequestRecord, SessionTraits
from service.sessions.records import ChunkRecord, KeyRecord, SessionRecord
from service.sessions.stores import sqlite_origins as origins
from service.sessions.stores import sqlite_queries as sql
from service.sessions.stores.base import Commit
from service.sessions.stores.sqlite_file import connect, is_fatal, transaction, translate

T = TypeVar("T")
Rows = list[tuple[Any, ...]]


class SqliteStore:
    """A `SessionStore` in one file, durable when a write returns (WAL, `synchronous=FULL`).

    One connection on one private thread: the event loop never waits for the disk, and a caller that
    is cancelled leaves its transaction to finish or never to begin.

    Args:
        path: The database; created for this user alone if it is missing.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread: ThreadPoolExecutor | None = None
        self._connection: sqlite3.Connection | None = None
        self._failure: str | None = None

    async def __aenter__(self) -> Self:
        """Open the file.

        Raises:
            ConfigError: The file cannot be used, or a newer release wrote it.
        """
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="session-store")
        try:
            self._connection = await asyncio.get_running_loop().run_in_executor(
                self._thread, connect, self._path
            )
        except BaseException:
            self._thread.shutdown(wait=False)
            raise
        return self

    async def __aexit__(self, *exc: object) -> None:
        """Finish what was begun and close the file."""
        if self._thread is None or self._connection is None:
            return
        thread, connection = self._thread, self._connection
        self._thread = self._connection = None
        closing = asyncio.get_running_loop().run_in_executor(thread, connection.close)
        thread.shutdown(wait=False)
        await asyncio.shield(closing)

    async def create(self, record: SessionRecord, state: bytes) -> bool:
        """See `SessionStore.create`."""
        return await self.begin(Beginning(record, state)) == "begun"

    async def begin(self, beginning: Beginning) -> BeginOutcome:
        """See `SessionStore.begin`."""

        def work(database: sqlite3.Connection) -> BeginOutcome:
            with transaction(database):
                return origins.begin(database, beginning, _values(beginning.record))

        return await self._on_thread(work)

    async def request(self, tenant: str, key: str) -> RequestRecord | None:
        """See `SessionStore.request`."""
        rows = await self._rows(origins.REQUEST, (tenant, key))
        return RequestRecord(*rows[0]) if rows else None

    async def traits(self, tenant: str, session_ids: Sequence[str]) -> Mapping[str, SessionTraits]:
        """See `SessionStore.traits`."""
        rows = await self._rows(origins.TRAITS, (tenant, origins.ids(session_ids)))
        return dict(map(origins.traits, rows))

    async def snapshots(self, tenant: str, session_id: str) -> list[int]:
        """See `SessionStore.snapshots`."""
        rows = await self._rows(origins.SNAPSHOTS, (tenant, session_id))
        return [seq for (seq,) in rows]

    async def snapshot(self, tenant: str, session_id: str, seq: int) -> bytes | None:
        """See `SessionStore.snapshot`."""
        rows = await self._rows(origins.SNAPSHOT, (tenant, session_id, seq))
        return rows[0][0] if rows else None

    async def get(self, tenant: str, session_id: str) -> SessionRecord | None:
        """See `SessionStore.get`."""
        rows = await self._rows(sql.GET, (tenant, session_id))
        return _record(rows[0]) if rows else None

    async def get_with_state(
        self, tenant: str, session_id: str
    ) -> tuple[SessionRecord, bytes] | None:
        """See `SessionStore.get_with_state`."""
        rows = await self._rows(sql.GET_WITH_STATE, (tenant, session_id))
        if not rows:
            return None
        *values, state = rows[0]
        return _record(values), state or b""

    async def commit(self, commit: Commit) -> bool:
        """See `SessionStore.commit`."""

        def work(database: sqlite3.Connection) -> bool:
            with transaction(database):
                session = _replace(database, commit.record, commit.expected_version)
                if session is None:
                    return False
                database.execute(sql.SET_STATE, (commit.state, session))
                _add_chunk(database, session, commit)
            return True

        return await self._on_thread(work)

    async def complete(self, record: SessionRecord, expected_version: int) -> bool:
        """See `SessionStore.complete`."""

        def work(database: sqlite3.Connection) -> bool:
            with transaction(database):
                return _replace(database, record, expected_version) is not None

        return await self._on_thread(work)

    async def chunks(
        self, tenant: str, session_id: str, first_seq: int, limit: int
    ) -> list[ChunkRecord]:
        """See `SessionStore.chunks`."""
        rows = await self._rows(sql.CHUNKS, (tenant, session_id, first_seq, limit))
        return [ChunkRecord(*row) for row in rows]

    async def key(self, tenant: str, session_id: str, key: str) -> KeyRecord | None:
        """See `SessionStore.key`."""
        rows = await self._rows(sql.KEY, (tenant, session_id, key))
        return KeyRecord(*rows[0]) if rows else None

    async def bury(self, record: SessionRecord, expected_version: int | None = None) -> bool:
        """See `SessionStore.bury`."""

        def work(database: sqlite3.Connection) -> bool:
            with transaction(database):
                session = _replace(database, record, expected_version)
                if session is None:
                    return False
                if record.status == "deleted":
                    for statement in (*sql.EMPTY, *origins.EMPTY):
                        database.execute(statement, (session,))
            return True

        return await self._on_thread(work)

    async def list(self, tenant: str, after: str | None, limit: int) -> list[SessionRecord]:
        """See `SessionStore.list`."""
        # No id is empty, so every id is greater than the empty text.
        rows = await self._rows(sql.LIST, (tenant, after or "", limit))
        return [_record(row) for row in rows]

    async def ping(self) -> None:
        """See `SessionStore.ping`."""

        def work(database: sqlite3.Connection) -> None:
            with transaction(database):
                database.execute(sql.PING)

        await self._on_thread(work)

    async def _rows(self, query: str, values: tuple[Any, ...]) -> Rows:
        return await self._on_thread(lambda database: database.execute(query, values).fetchall())

    async def _on_thread(self, work: Callable[[sqlite3.Connection], T]) -> T:
        if self._thread is None or self._connection is None:
            raise Unavailable("store_unavailable", "the session store is closed")
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._attempt, work, self._connection)

    def _attempt(self, work: Callable[[sqlite3.Connection], T], database: sqlite3.Connection) -> T:
        if self._failure is not None:
            raise Unavailable("store_unavailable", self._failure)
        try:
            return work(database)
        except sqlite3.IntegrityError:
            raise  # a bug of ours, not the disk's
        except sqlite3.DatabaseError as error:
            if is_fatal(error):
                self._failure = f"the session store failed and needs a restart: {error}"
            raise translate(error) from error


def _record(row: Sequence[Any]) -> SessionRecord:
    # The last column is a truth value, for which SQLite has only integers.
    return replace(SessionRecord(*row), completed=bool(row[-1]))


def _values(record: SessionRecord) -> tuple[Any, ...]:
    return tuple(getattr(record, name) for name in sql.RECORD_COLUMNS)


def _replace(
    database: sqlite3.Connection, record: SessionRecord, version: int | None
) -> int | None:
    """Compare and set: the row's number, or None if it is not open, or not at that version."""
    row = database.execute(
        sql.REPLACE,
        (*_values(record), record.tenant, record.id, record.incarnation, version),
    ).fetchone()
    return None if row is None else int(row[0])


def _add_chunk(database: sqlite3.Connection, session: int, commit: Commit) -> None:
    chunk, key = commit.chunk, commit.key
    database.execute(
        sql.ADD_CHUNK,
        (session, chunk.seq, chunk.digest, chunk.embedding, chunk.tokens, chunk.token_start),
    )
    if key is not None:
        database.execute(sql.SET_KEY, (session, key.key, key.digest, key.first_seq))
    if commit.forget_before > 0:
        database.execute(sql.FORGET, (session, commit.forget_before))
    if commit.snapshots > 0:
        seq = commit.record.next_seq
        origins.keep_snapshot(database, session, seq, commit.state, commit.snapshots)
