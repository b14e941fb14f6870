"""Sessions in a Redis or Valkey server, which many machines share."""

from collections.abc import Mapping, Sequence
from typing import Any, Self

from service.errors import Unavailable
from service.sessions.origins import (
    NO_TRAITS,
    Beginning,
    BeginOutcome,
    RequestRecord,
    SessionTraits,
)
from service.sessions.records import ChunkRecord, KeyRecord, SessionRecord
from service.sessions.stores import redis_index as index
from service.sessions.stores import redis_origin_rows as origin_rows
from service.sessions.stores import redis_origins as origins
from service.sessions.stores import redis_rows as rows
from service.sessions.stores import redis_scripts as scripts
from service.sessions.stores.base import Commit, CorruptRow, require_whole
from service.sessions.stores.checksum import mirrored
from service.sessions.stores.redis_server import Argument, RedisServer


class RedisStore:
    """A `SessionStore` whose every write is one Lua script over keys of one tenant.

    Durable when a write returns only where the server syncs before it answers (`appendonly yes`, `appendfsync always`),
    which is looked at when the store opens and every half minute after.

    Args:
        url: `redis://[USER:PASSWORD@]HOST:PORT/DB`, `rediss://` with TLS, or `unix:///SOCKET`.
        relaxed: Whether a server will do that may lose what it has acknowledged.

    Raises:
        ConfigError: The URL cannot be read.
    """

    def __init__(self, url: str, *, relaxed: bool = False) -> None:
        self._url = url
        self._relaxed = relaxed
        self._opened: RedisServer | None = None

    async def __aenter__(self) -> Self:
        """Look at the server; one that does not answer yet is waited for by whoever needs it.

        Raises:
            ConfigError: It may lose what it acknowledges, and the store is not `relaxed`.
        """
        server = RedisServer(self._url, relaxed=self._relaxed)
        await server.open()
        self._opened = server
        return self

    async def __aexit__(self, *exc: object) -> None:
        """Close all connections."""
        server, self._opened = self._opened, None
        if server is not None:
            await server.close()

    async def begin(self, beginning: Beginning) -> BeginOutcome:
        """See `SessionStore.begin`."""
        record, request, seen = beginning.record, beginning.request, origins.Held()
        if request is not None:
            try:
                seen = await origins.held(self._server, record.tenant, request.key)
            except CorruptRow:
                return "key_taken"  # whatever it stands for
            if seen.request is not None:
                return "key_taken"
        await self._server.call(lambda redis: index.add(redis, record))
        outcome = await origins.begin(self._server, beginning, seen)
        if outcome == "begun":
            # A sweep that took the id for an orphan in between has removed it.
            await self._server.call(lambda redis: index.add(redis, record))
        return outcome

    async def request(self, tenant: str, key: str) -> RequestRecord | None:
        """See `SessionStore.request`."""
        return (await origins.held(self._server, tenant, key)).request

    async def traits(self, tenant: str, session_ids: Sequence[str]) -> Mapping[str, SessionTraits]:
        """See `SessionStore.traits`."""
        found = await self._server.call(lambda redis: index.traits(redis, tenant, session_ids))
        return {name: value for name, value in found.items() if value != NO_TRAITS}

    async def snapshots(self, tenant: str, session_id: str) -> list[int]:
        """See `SessionStore.snapshots`."""
        name = rows.session_keys(tenant, session_id)[4]
        found: Any = await self._server.call(lambda redis: redis.hgetall(name))
        kept = {seq.decode(errors="replace"): data for seq, data in found.items()}
        return sorted(
            int(seq)
            for seq, data in kept.items()
            if origin_rows.read_snapshot(data, tenant, session_id, seq) is not None
        )

    async def snapshot(self, tenant: str, session_id: str, seq: int) -> bytes | None:
        """See `SessionStore.snapshot`."""
        name = rows.session_keys(tenant, session_id)[4]
        data: Any = await self._server.call(lambda redis: redis.hget(name, str(seq)))
        return origin_rows.read_snapshot(data, tenant, session_id, str(seq))

    async def get(self, tenant: str, session_id: str) -> SessionRecord | None:
        """See `SessionStore.get`."""
        return rows.read_session(await self._fields(tenant, session_id), tenant, session_id)

    async def get_with_state(
        self, tenant: str, session_id: str
    ) -> tuple[SessionRecord, bytes] | None:
        """See `SessionStore.get_with_state`."""
        fields, state = await self._script(scripts.READ, tenant, session_id)
        record = rows.read_session(fields, tenant, session_id)
        return None if record is None else (record, state or b"")

    async def commit(self, commit: Commit) -> bool:
        """See `SessionStore.commit`."""
        record, chunk = commit.record, commit.chunk
        name = (record.tenant, record.id)
        values = (
            commit.expected_version,
            *rows.pack_session(record),
            commit.state,
            chunk.seq,
            rows.pack_chunk(*name, chunk),
            record.kept_from,
            *origin_rows.pack_snapshot(commit),
            *(() if commit.key is None else rows.pack_key(*name, commit.key)),
        )
        done = await self._script(scripts.COMMIT, *name, values)
        if done < 0:
            raise CorruptRow("state")
        return bool(done)

    async def complete(self, record: SessionRecord, expected_version: int) -> bool:
        """See `SessionStore.complete`."""
        return await self._replace(record, expected_version, also="open", emptied=False)

    async def chunks(
        self, tenant: str, session_id: str, first_seq: int, limit: int
    ) -> list[ChunkRecord]:
        """See `SessionStore.chunks`."""
        fields, pairs = await self._script(scripts.CHUNKS, tenant, session_id, (first_seq, limit))
        record = rows.read_session(fields, tenant, session_id)
        if record is None:
            return []
        found = rows.read_chunks(pairs, tenant, session_id)
        require_whole(found, record, first_seq, limit)
        return found

    async def key(self, tenant: str, session_id: str, key: str) -> KeyRecord | None:
        """See `SessionStore.key`."""
        name = rows.session_keys(tenant, session_id)[3]
        values: Any = await self._server.call(lambda redis: redis.hmget(name, (key, mirrored(key))))
        return rows.read_key(values, tenant, session_id, key)

    async def bury(self, record: SessionRecord, expected_version: int | None = None) -> bool:
        """See `SessionStore.bury`."""
        also = "lost" if record.status == "deleted" else "open"
        emptied = record.status != "lost"
        buried = await self._replace(record, expected_version, also=also, emptied=emptied)
        if buried:
            await self._server.call(lambda redis: index.close(redis, record))
        return buried

    async def quarantine(self, record: SessionRecord) -> bool:
        """See `SessionStore.quarantine`."""
        name = (record.tenant, record.id)
        fields = await self._fields(*name)
        try:
            rows.read_session(fields, *name)
        except CorruptRow:
            found = tuple(field or b"" for field in fields)
            values = (*found, record.incarnation, record.version, record.id)
            done = await self._script(scripts.QUARANTINE, *name, values)
            await self._server.call(lambda redis: index.close(redis, record))
            return bool(done)
        return False

    async def due(self, now: float, limit: int) -> list[tuple[str, str]]:
        """See `SessionStore.due`."""
        return await self._server.call(lambda redis: index.due_sessions(redis, now, limit))

    async def forget(self, record: SessionRecord) -> bool:
        """See `SessionStore.forget`."""
        name = (record.tenant, record.id)
        # First: afterwards the id is free, and what is removed may be another session's.
        await self._server.call(lambda redis: index.remove(redis, *name))
        values: list[Argument] = [record.incarnation, record.version, record.status, record.id]
        values += await self._begun_by(*name)
        keys = (*rows.script_keys(*name), rows.requests_key(record.tenant))
        forgotten = bool(await self._server.script(scripts.FORGET, keys, values))
        if not forgotten and (found := await self.get(*name)) is not None:
            await self._server.call(lambda redis: index.add(redis, found))
        return forgotten

    async def list(self, tenant: str, after: str | None, limit: int) -> list[SessionRecord]:
        """See `SessionStore.list`."""
        return await self._server.call(
            lambda redis: index.open_sessions(redis, tenant, after, limit)
        )

    async def count(self, tenant: str, now: float) -> int:
        """See `SessionStore.count`."""
        name = rows.open_key(tenant)
        found: Any = await self._server.call(lambda redis: redis.zcount(name, f"({now!r}", "+inf"))
        return int(found)

    async def ping(self) -> None:
        """See `SessionStore.ping`."""
        await self._server.call(lambda redis: redis.incr(rows.HEARTBEAT))

    @property
    def _server(self) -> RedisServer:
        if self._opened is None:
            raise Unavailable("store_unavailable", "the session store is closed")
        return self._opened

    async def _fields(self, tenant: str, session_id: str) -> Any:
        name = rows.session_keys(tenant, session_id)[0]
        return await self._server.call(lambda redis: redis.hmget(name, rows.FIELDS))

    async def _replace(
        self, record: SessionRecord, version: int | None, *, also: str, emptied: bool
    ) -> bool:
        values = (
            "" if version is None else version,
            *rows.pack_session(record),
            also,
            int(emptied),
        )
        return bool(await self._script(scripts.REPLACE, record.tenant, record.id, values))

    async def _script(
        self, source: str, tenant: str, session_id: str, values: Sequence[Argument] = ()
    ) -> Any:
        return await self._server.script(source, rows.script_keys(tenant, session_id), values)

    async def _begun_by(self, tenant: str, session_id: str) -> tuple[str, ...]:
        """Return both names of the key of the request that began a session, none if it had none."""
        name = rows.session_keys(tenant, session_id)[0]
        data: Any = await self._server.call(lambda redis: redis.hget(name, "request"))
        try:
            key = origin_rows.read_name(data, tenant, session_id)
        except CorruptRow:
            return ()  # it stands for nothing once the session is gone
        return (key, mirrored(key)) if key else ()
