"""Sessions in an SQLite file that several processes of one machine share."""

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self, TypeVar

from service.errors import OutOfStorage
from service.sessions.origins import Beginning, BeginOutcome, RequestRecord, SessionTraits
from service.sessions.records import ChunkRecord, KeyRecord, SessionRecord
from service.sessions.stores import sqlite_drafts as drafts
from service.sessions.stores import sqlite_origins as origins
from service.sessions.stores import sqlite_queries as sql
from service.sessions.stores import sqlite_rows as rows
from service.sessions.stores.base import Commit, require_whole
from service.sessions.stores.checksum import mirrored
from service.sessions.stores.reserve import Reserve
from service.sessions.stores.sqlite_file import moment, transaction
from service.sessions.stores.sqlite_groups import GroupCommit
from service.sessions.stores.sqlite_thread import SqliteThread

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
        self._thread = SqliteThread(path)
        self._commits = GroupCommit(self._thread)
        self._reserve = Reserve(path)

    async def __aenter__(self) -> Self:
        """Open the file.

        Raises:
            ConfigError: The file cannot be used, or a newer release wrote it.
        """
        await self._thread.open()
        await self._on_thread(lambda _: self._reserve.keep())
        return self

    async def __aexit__(self, *exc: object) -> None:
        """Finish what was begun and close the file."""
        await self._thread.close()

    async def begin(self, beginning: Beginning) -> BeginOutcome:
        """See `SessionStore.begin`."""
        if drafts.is_long(beginning):
            return await drafts.begin(self._thread.run, beginning)

        def work(database: sqlite3.Connection) -> BeginOutcome:
            with transaction(database):
                return origins.begin(database, beginning)

        return await self._on_thread(work)

    async def request(self, tenant: str, key: str) -> RequestRecord | None:
        """See `SessionStore.request`."""
        found = await self._rows(origins.REQUEST, (tenant, key, mirrored(key)))
        return origins.read_request(found, key)

    async def traits(self, tenant: str, session_ids: Sequence[str]) -> Mapping[str, SessionTraits]:
        """See `SessionStore.traits`."""
        return origins.read_traits(
            await self._rows(origins.TRAITS, (tenant, origins.ids(session_ids)))
        )

    async def snapshots(self, tenant: str, session_id: str) -> list[int]:
        """See `SessionStore.snapshots`."""
        return [seq for (seq,) in await self._rows(origins.SNAPSHOTS, (tenant, session_id))]

    async def snapshot(self, tenant: str, session_id: str, seq: int) -> bytes | None:
        """See `SessionStore.snapshot`."""
        found = await self._rows(origins.SNAPSHOT, (tenant, session_id, seq))
        return found[0][0] if found else None

    async def get(self, tenant: str, session_id: str) -> SessionRecord | None:
        """See `SessionStore.get`."""
        found = await self._rows(sql.GET, (tenant, session_id))
        if not found:
            found = await self._rows(sql.GET_BY_NAME, (tenant, session_id))
        return rows.read_session(found[0], tenant, session_id) if found else None

    async def get_with_state(
        self, tenant: str, session_id: str
    ) -> tuple[SessionRecord, bytes] | None:
        """See `SessionStore.get_with_state`."""
        found = await self._rows(sql.GET_WITH_STATE, (tenant, session_id))
        if not found:
            record = await self.get(tenant, session_id)
            return None if record is None else (record, b"")
        *values, state = found[0]
        return rows.read_session(values, tenant, session_id), state or b""

    async def commit(self, commit: Commit) -> bool:
        """See `SessionStore.commit`."""
        return await self._commits.commit(commit)

    async def complete(self, record: SessionRecord, expected_version: int) -> bool:
        """See `SessionStore.complete`."""

        def work(database: sqlite3.Connection) -> bool:
            with transaction(database):
                return rows.write_session(database, record, expected_version) is not None

        return await self._on_thread(work)

    async def chunks(
        self, tenant: str, session_id: str, first_seq: int, limit: int
    ) -> list[ChunkRecord]:
        """See `SessionStore.chunks`."""

        def work(database: sqlite3.Connection) -> list[ChunkRecord]:
            with moment(database):
                row = database.execute(sql.GET, (tenant, session_id)).fetchone()
                if row is None:
                    return []
                values = (tenant, session_id, first_seq, limit)
                found = database.execute(sql.CHUNKS, values).fetchall()
            kept = [rows.read_chunk(row) for row in found]
            require_whole(kept, rows.read_session(row, tenant, session_id), first_seq, limit)
            return kept

        return await self._on_thread(work)

    async def key(self, tenant: str, session_id: str, key: str) -> KeyRecord | None:
        """See `SessionStore.key`."""
        found = await self._rows(sql.KEY, (tenant, session_id, key, mirrored(key)))
        return rows.read_key(found, key)

    async def bury(self, record: SessionRecord, expected_version: int | None = None) -> bool:
        """See `SessionStore.bury`."""
        also = "lost" if record.status == "deleted" else "open"

        def work(database: sqlite3.Connection) -> bool:
            with transaction(database):
                session = rows.write_session(database, record, expected_version, also)
                if session is not None and record.status != "lost":
                    rows.empty(database, session)
            return session is not None

        return await self._with_reserve(work)

    async def quarantine(self, record: SessionRecord) -> bool:
        """See `SessionStore.quarantine`."""
        name = (record.tenant, record.id)

        def work(database: sqlite3.Connection) -> bool:
            with transaction(database):
                row = (
                    database.execute(sql.GET, name).fetchone()
                    or database.execute(sql.GET_BY_NAME, name).fetchone()
                )
                if row is None or rows.session_if_whole(row, *name) is not None:
                    return False
                values = (*name, record.incarnation, record.version, *name, *name)
                database.execute(sql.QUARANTINE, values)
            return True

        return await self._with_reserve(work)

    async def due(self, now: float, limit: int) -> list[tuple[str, str]]:
        """See `SessionStore.due`."""
        for _ in range(drafts.CLEARED):
            if not await self._rows(drafts.DUE, (now,)):
                break
            await self._with_reserve(lambda database: drafts.clear(database, now))
        return [(tenant, name) for tenant, name in await self._rows(sql.DUE, (now, limit))]

    async def forget(self, record: SessionRecord) -> bool:
        """See `SessionStore.forget`."""
        identity = (record.tenant, record.id, record.incarnation, record.version, record.status)

        def work(database: sqlite3.Connection) -> bool:
            with transaction(database):
                row = database.execute(sql.FORGET, identity).fetchone()
                if row is not None:
                    rows.empty(database, row[0])
                    database.execute(origins.FORGET_REQUEST, identity[:2])
            return row is not None

        return await self._with_reserve(work)

    async def list(self, tenant: str, after: str | None, limit: int) -> list[SessionRecord]:
        """See `SessionStore.list`."""
        # No id is empty, so every id is greater than the empty text.
        last = after or ""
        records: list[SessionRecord] = []
        while len(records) < limit:
            page = await self._rows(sql.LIST, (tenant, last, limit))
            whole = (rows.session_if_whole(row, tenant, row[1]) for row in page)
            records += [record for record in whole if record is not None]
            if len(page) < limit:
                break
            last = page[-1][1]
        return records[:limit]

    async def count(self, tenant: str, now: float) -> int:
        """See `SessionStore.count`."""
        [(found,)] = await self._rows(sql.OPEN_COUNT, (tenant, tenant, now))
        return int(found)

    async def ping(self) -> None:
        """See `SessionStore.ping`."""

        def work(database: sqlite3.Connection) -> None:
            with transaction(database):
                database.execute(sql.PING)

        await self._on_thread(work)

    async def _rows(self, query: str, values: tuple[Any, ...]) -> Rows:
        return await self._on_thread(lambda database: database.execute(query, values).fetchall())

    async def _on_thread(self, work: Callable[[sqlite3.Connection], T]) -> T:
        return await self._thread.run(work)

    async def _with_reserve(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do what makes room, also where there is none."""

        def keeping(database: sqlite3.Connection) -> T:
            result = work(database)
            self._reserve.keep()
            return result

        def spending(database: sqlite3.Connection) -> T:
            self._reserve.spend()
            return keeping(database)

        try:
            return await self._on_thread(keeping)
        except OutOfStorage:
            return await self._on_thread(spending)
