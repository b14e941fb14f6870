"""Ids and dues beside the records of a Redis server: whatever interleaves or is cut in two, they come right again."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from service.errors import Unavailable
from service.sessions.changes import tombstone
from service.sessions.stores import redis_index as index
from service.sessions.stores.redis import RedisStore
from service.sessions.stores.redis_rows import DUE, due_member, ids_key, session_keys
from tests.service.sessions.made import TENANT, create, make_commit, make_record

RECORD = make_record()


@pytest.fixture
async def store(redis_url) -> AsyncIterator[RedisStore]:
    async with RedisStore(redis_url) as opened:
        yield opened


async def test_a_deletion_that_finishes_late_leaves_the_next_session_of_its_id_listed(
    store, monkeypatch
):
    """Between its two steps the tombstone is forgotten, and the id begins anew."""
    old, new = replace(RECORD, tombstone_seconds=0.0), make_record(incarnation="i2")
    close = index.close

    async def late(redis, record):
        monkeypatch.setattr(index, "close", close)
        assert await store.forget(record)
        assert await create(store, new, b"state")
        await close(redis, record)

    await create(store, old, b"state")
    monkeypatch.setattr(index, "close", late)
    assert await store.bury(tombstone(old, "deleted", 9.0))
    assert await store.list(TENANT, None, 9) == [new]


@pytest.mark.parametrize("ttl", [None, 60.0])
async def test_a_sweep_puts_an_id_back_that_is_missing(store, redis_server, ttl):
    record = replace(RECORD, ttl_seconds=ttl)
    await create(store, record, b"state")
    longer = make_commit(record).record
    assert await store.commit(make_commit(record))
    with redis_server.client() as client:
        client.delete(ids_key(TENANT))
    assert await store.due(1e12 if ttl is None else record.expires_at, 9) == []
    assert await store.list(TENANT, None, 9) == [longer]


async def test_the_id_of_a_deletion_that_was_cut_in_two_is_cleared_away(
    store, redis_server, monkeypatch
):
    async def cut(redis, record):
        raise ConnectionError

    mortal = replace(RECORD, tombstone_seconds=40.0)
    await create(store, mortal, b"state")
    assert await store.due(1e12, 9) == []  # an immortal session is due no more
    with monkeypatch.context() as patch:
        patch.setattr(index, "close", cut)
        with pytest.raises(Unavailable):
            await store.bury(tombstone(mortal, "deleted", 9.0))
    with redis_server.client() as client:
        client.delete(*session_keys(TENANT, "s"))  # Redis drops a tombstone by itself
        assert await store.due(48.0, 9) == []
        assert client.zcard(ids_key(TENANT)) == 1
        assert await store.due(49.0, 9) == []
        assert client.zcard(DUE) == client.zcard(ids_key(TENANT)) == 0


async def test_a_sweep_does_not_list_what_ends_while_it_looks(store, redis_server):
    await create(store, RECORD, b"state")
    grave = tombstone(RECORD, "deleted", 9.0)
    assert await store.bury(grave)
    # The sweep has seen the open record; then all of the deletion happens.
    await store._opened.call(lambda redis: index._put_right(redis, (TENANT, "s"), RECORD))
    with redis_server.client() as client:
        assert client.zcard(ids_key(TENANT)) == 0
        assert client.zscore(DUE, due_member(TENANT, "s")) == grave.due_at


async def test_what_was_damaged_in_the_sets_stops_neither_sweep_nor_list(store, redis_server):
    due, later = replace(make_record("a"), ttl_seconds=1.0), make_record("z")
    for record in (due, later):
        await create(store, record, b"state")
    with redis_server.client() as client:
        client.zadd(DUE, {b"tenant\xff/s": 1.0, b"no/%zz": 1.0, b"nobody": 1.0})
        client.zadd(ids_key(TENANT), {b"b\xff": 0})
        assert await store.due(due.expires_at, 9) == [(TENANT, "a")]
        assert client.zcard(DUE) == 2
    assert await store.list(TENANT, None, 9) == [due, later]
    assert await store.list(TENANT, None, 1) == [due]
    assert await store.list(TENANT, "a", 1) == [later]
