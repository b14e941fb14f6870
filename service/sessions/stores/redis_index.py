"""Which sessions there are and which are due, in sorted sets beside the records: hints that may lag, never the truth.

A tenant's sessions live in one slot of a cluster and these sets in others, so no step changes both. An id is added
before its session is made and again after it, and removed only once the session is over; what is read is checked
against the records. What a crash leaves over is found by the sweep, because every id is due an hour after it was first
added.
"""

from collections.abc import Sequence
from typing import Any, Final, TypeVar
from urllib.parse import unquote

from redis.asyncio import Redis
from redis.exceptions import RedisError

from service.sessions.origins import SessionTraits
from service.sessions.records import SessionRecord
from service.sessions.stores.base import CorruptRow
from service.sessions.stores.redis_errors import is_full
from service.sessions.stores.redis_origin_rows import read_traits
from service.sessions.stores.redis_rows import (
    DUE,
    FIELDS,
    due_member,
    ids_key,
    open_key,
    read_session,
    session_keys,
)
from service.sessions.stores.redis_scripts import DROPPED

T = TypeVar("T")
Name = tuple[str, str]

ORPHAN_SECONDS: Final = 3600.0
"""When an id without a session may be taken for what a crash left."""
_PAGE: Final = 50
_ROUNDS: Final = 20


async def add(redis: Redis, record: SessionRecord) -> None:
    """Make a session known; what is known to be due earlier stands.

    Too early, a sweep looks and puts it right; too late, the session would outlive its time: a beginning under the same
    id that came to nothing may have left a note.
    """
    due = record.created_at + ORPHAN_SECONDS if record.due_at is None else record.due_at
    pipeline = redis.pipeline(transaction=False)
    pipeline.zadd(ids_key(record.tenant), {record.id: 0})
    pipeline.zadd(DUE, {due_member(record.tenant, record.id): due}, lt=True)
    await pipeline.execute()


async def close(redis: Redis, record: SessionRecord) -> None:
    """Take a session that is over out of the list, and note when its tombstone is due.

    A server without room keeps no note, and deleting works all the same: Redis drops the tombstone by itself.
    """
    member = due_member(record.tenant, record.id)
    pipeline = redis.pipeline(transaction=False)
    pipeline.zrem(ids_key(record.tenant), record.id)
    if record.due_at is None:
        pipeline.zrem(DUE, member)
    else:
        pipeline.zadd(DUE, {member: record.due_at})
    for outcome in await pipeline.execute(raise_on_error=False):
        if isinstance(outcome, RedisError) and not is_full(outcome):
            raise outcome


async def remove(redis: Redis, tenant: str, session_id: str) -> None:
    """Forget that there is such a session."""
    pipeline = redis.pipeline(transaction=False)
    pipeline.zrem(ids_key(tenant), session_id)
    pipeline.zrem(DUE, due_member(tenant, session_id))
    await pipeline.execute()


async def open_sessions(
    redis: Redis, tenant: str, after: str | None, limit: int
) -> list[SessionRecord]:
    """Return a tenant's open sessions; see `SessionStore.list`."""
    found: list[SessionRecord] = []
    lowest = "-" if after is None else f"({after}"
    size = max(limit, _PAGE)
    while len(found) < limit:
        page: list[Any] = await redis.zrangebylex(ids_key(tenant), lowest, "+", start=0, num=size)
        names = [(tenant, name.decode()) for name in page]
        found += [
            record
            for record in await _records(redis, names)
            if isinstance(record, SessionRecord) and record.status == "open"
        ]
        if len(page) < size:
            break
        lowest = f"({names[-1][1]}"
    return found[:limit]


async def due_sessions(redis: Redis, now: float, limit: int) -> list[Name]:
    """Return sessions that are due, and put right what is noted of those that are not; see `SessionStore.due`."""
    found: list[Name] = []
    for _ in range(_ROUNDS):
        page: list[Any] = await redis.zrangebyscore(
            DUE, "-inf", now, start=0, num=max(limit, _PAGE)
        )
        names = [_name(member) for member in page]
        pending = 0
        for name, record in zip(names, await _records(redis, names), strict=True):
            if isinstance(record, CorruptRow) or (
                record is not None and record.due_at is not None and record.due_at <= now
            ):
                found.append(name)
            else:
                pending += 1
                await _put_right(redis, name, record)
        if found or not pending:
            break
    return found[:limit]


async def _put_right(redis: Redis, name: Name, record: SessionRecord | None) -> None:
    if record is None:
        await remove(redis, *name)
        tenant, session_id = name
        keys = (session_keys(*name)[0], open_key(tenant))
        await redis.register_script(DROPPED)(keys=keys, args=(session_id,))
        [again] = await _records(redis, [name])
        if isinstance(again, SessionRecord):
            # It was begun at this very moment.
            await add(redis, again)
    elif record.due_at is None:
        await redis.zrem(DUE, due_member(*name))
    else:
        await redis.zadd(DUE, {due_member(*name): record.due_at})


async def traits(redis: Redis, tenant: str, session_ids: Sequence[str]) -> dict[str, SessionTraits]:
    """Return the traits of sessions that are not over; see `SessionStore.traits`."""
    pipeline = redis.pipeline(transaction=False)
    for name in session_ids:
        pipeline.hmget(session_keys(tenant, name)[0], (*FIELDS, "traits"))
    answers = await pipeline.execute() if session_ids else []
    found = {}
    for name, (*fields, data) in zip(session_ids, answers, strict=True):
        record = read_session(fields, tenant, name)
        if record is not None and record.status in {"open", "lost"}:
            found[name] = read_traits(data, tenant, name)
    return found


async def _records(redis: Redis, names: Sequence[Name]) -> list[SessionRecord | CorruptRow | None]:
    """Return the record of each session, None where there is none, an error where it does not verify."""
    if not names:
        return []
    pipeline = redis.pipeline(transaction=False)
    for name in names:
        pipeline.hmget(session_keys(*name)[0], FIELDS)
    records: list[SessionRecord | CorruptRow | None] = []
    for name, fields in zip(names, await pipeline.execute(), strict=True):
        try:
            records.append(read_session(fields, *name))
        except CorruptRow as broken:
            records.append(broken)
    return records


def _name(member: bytes) -> Name:
    tenant, _, session_id = member.decode().partition("/")
    return unquote(tenant), unquote(session_id)
