"""What only a server can do to a store: promise little, hang, crash, fill up, forget, and lose an answer."""

import asyncio
import time
import traceback
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from service.errors import ConfigError, OutOfStorage, Unavailable
from service.sessions.changes import tombstone
from service.sessions.origins import Beginning, RequestRecord
from service.sessions.stores import RedisStore
from service.sessions.stores import redis_index as index
from service.sessions.stores import redis_scripts as scripts
from service.sessions.stores.redis_durability import judge
from service.sessions.stores.redis_rows import DUE, due_member, ids_key, open_key, session_keys
from tests.redis_server import RedisProcess
from tests.service.sessions.made import TENANT, create, make_chunk, make_commit, make_record
from tests.service.sessions.stores.cut_proxy import CutProxy
from tests.service.sessions.watching import Lag

RECORD = make_record()
SAFE = {
    "appendonly": "yes",
    "appendfsync": "always",
    "no-appendfsync-on-rewrite": "no",
    "maxmemory": "0",
    "maxmemory-policy": "noeviction",
}


@pytest.fixture
async def store(redis_url) -> AsyncIterator[RedisStore]:
    async with RedisStore(redis_url) as opened:
        yield opened


@contextmanager
def configured(server: RedisProcess, **settings: str) -> Iterator[None]:
    """Change a running server for a while."""
    with server.client() as client:
        names = {name.replace("_", "-"): value for name, value in settings.items()}
        before = {name: client.config_get(name)[name] for name in names}
        try:
            for name, value in names.items():
                client.config_set(name, value)
            yield
        finally:
            for name, value in before.items():
                client.config_set(name, value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, "what is acknowledged is on disk"),
        ({"maxmemory": "1000"}, "what is acknowledged is on disk"),
        ({"appendonly": "no"}, "since the last snapshot"),
        ({"appendfsync": "everysec"}, "up to a second"),
        ({"appendfsync": "no"}, "power failure"),
        ({"no-appendfsync-on-rewrite": "yes"}, "while the log is rewritten"),
        ({"maxmemory": "1000", "maxmemory-policy": "allkeys-lru"}, "drops sessions by itself"),
        ({"maxmemory-policy": "volatile-ttl"}, "what is acknowledged is on disk"),
    ],
)
def test_what_a_server_promises_is_read_from_its_settings(change, said):
    found = judge({**SAFE, **change})
    assert said in found.promise
    assert found.committed == (found.promise == "what is acknowledged is on disk")
    assert bool(found.remedy) != found.committed


async def test_a_server_that_may_lose_what_it_acknowledged_is_refused(redis_url, redis_server):
    with configured(redis_server, appendfsync="everysec"):
        with pytest.raises(ConfigError, match=r"up to a second .* sessions\.durability: relaxed"):
            await RedisStore(redis_url).__aenter__()
        async with RedisStore(redis_url, relaxed=True) as store:
            assert await create(store, RECORD, b"state")


async def test_a_server_that_does_not_tell_is_refused_without_showing_the_password(
    redis_url, redis_server
):
    with redis_server.client() as client:
        client.execute_command(
            "ACL", "SETUSER", "managed", "on", ">hunter2", "~*", "&*", "+@all", "-config"
        )
    url = redis_url.replace("redis://", "redis://managed:hunter2@")
    with pytest.raises(ConfigError, match="does not tell what a crash loses") as caught:
        await RedisStore(url).__aenter__()
    assert "hunter2" not in str(caught.value)
    async with RedisStore(url, relaxed=True) as store:
        assert await create(store, RECORD, b"state")


async def test_a_server_that_does_not_let_us_in_is_a_configuration_error(redis_url):
    with pytest.raises(ConfigError, match="invalid username-password") as caught:
        await RedisStore(redis_url.replace("redis://", "redis://nobody:hunter2@")).__aenter__()
    assert "hunter2" not in str(caught.value)


async def test_a_promise_that_is_broken_later_is_noticed(store, redis_server):
    await store.ping()
    with configured(redis_server, appendfsync="no"):
        await store.ping()
        store._opened._inspected_at = float("-inf")  # half a minute later
        with pytest.raises(Unavailable, match="power failure"):
            await store.ping()
    await store.ping()


@pytest.mark.parametrize(
    "url",
    [
        "redis://host:port/0",
        "redis://host:6379/0?socket_timeout=soon",
        "redis://:hunter2/!@host:6379/0",
        "redis://:hunter2@[::1:6379/0",
    ],
)
async def test_a_url_that_cannot_be_read_is_a_configuration_error(url):
    with pytest.raises(ConfigError, match=r"sessions\.store") as caught:
        await RedisStore(url).__aenter__()
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))


async def test_a_server_that_hangs_costs_two_seconds_and_nothing_is_lost(store, redis_server):
    await create(store, RECORD, b"state")
    commit = make_commit(RECORD)
    redis_server.pause()
    try:
        began = time.monotonic()
        async with Lag() as lag:
            outcomes = await asyncio.gather(
                store.commit(commit),
                *(store.get(TENANT, "s") for _ in range(20)),
                RedisStore(redis_server.url).__aenter__(),
                return_exceptions=True,
            )
        took = time.monotonic() - began - lag.total
    finally:
        redis_server.resume()
    opened = outcomes.pop()
    assert isinstance(opened, RedisStore)  # it waits for the server, it does not refuse to start
    assert {type(outcome) for outcome in outcomes} == {Unavailable}
    assert took < 2.5
    async with opened:
        pass
    stored = await store.get(TENANT, "s")
    assert stored in {RECORD, commit.record}
    if stored == RECORD:
        assert await store.commit(commit) is True
    assert await store.chunks(TENANT, "s", 0, 9) == [commit.chunk]


async def test_what_was_acknowledged_survives_kill_9(tmp_path):
    with RedisProcess(tmp_path / "own") as server:
        async with RedisStore(server.url) as store:
            record = RECORD
            await create(store, record, b"state")
            for turn in range(2):
                for _ in range(5):
                    commit = make_commit(record, key=f"k{turn}")
                    assert await store.commit(commit)
                    record = commit.record
                server.kill()
                with pytest.raises(Unavailable):
                    await store.ping()
                server.start()
                assert await store.get_with_state(TENANT, "s") == (record, commit.state)
                assert [chunk.seq for chunk in await store.chunks(TENANT, "s", 0, 99)] == list(
                    range(record.next_seq)
                )
                assert await store.key(TENANT, "s", f"k{turn}") == commit.key


async def test_a_write_whose_answer_is_lost_is_not_sent_again(redis_server, redis_url):
    async with (
        CutProxy().before(redis_server.port) as proxy,
        RedisStore(f"redis://127.0.0.1:{proxy.port}/0") as store,
        RedisStore(redis_url) as direct,
    ):
        await create(store, RECORD, b"state")
        first = make_commit(RECORD, "first")
        assert await store.commit(first)
        proxy.requests.clear()
        proxy.cut = True
        second = make_commit(first.record, "second")
        with pytest.raises(Unavailable):
            await store.commit(second)
        assert proxy.requests.count(b"EVALSHA") == 1
        proxy.cut = False
        assert await direct.get(TENANT, "s") == second.record
        assert await direct.chunks(TENANT, "s", 0, 9) == [make_chunk(0, "first"), second.chunk]
        assert await store.commit(second) is False


async def test_a_full_server_stores_nothing_and_still_reads_and_deletes(store, redis_server):
    await create(store, RECORD, b"x" * 300_000)
    imported = replace(make_record("file"), next_seq=1)
    with configured(redis_server, maxmemory="1"):
        for write in (
            create(store, make_record("other"), b"y" * 300_000),
            store.commit(make_commit(RECORD)),
            store.begin(Beginning(imported, b"z", chunks=(make_chunk(0),))),
        ):
            with pytest.raises(OutOfStorage) as caught:
                await write
            assert caught.value.code == "out_of_storage"
        assert await store.get_with_state(TENANT, "s") == (RECORD, b"x" * 300_000)
        assert await store.bury(tombstone(RECORD, "deleted", 9.0)) is True
        assert (await store.get_with_state(TENANT, "s"))[1] == b""
    assert await store.get(TENANT, "other") is None


async def test_redis_drops_by_itself_what_nobody_can_want_and_no_more(store, redis_server):
    mortal = replace(RECORD, ttl_seconds=60.0, tombstone_seconds=40.0)
    await create(store, mortal, b"state")
    await create(store, make_record("immortal"), b"state")
    commit = make_commit(mortal, key="k", snapshots=1)
    assert await store.commit(commit)
    with redis_server.client() as client:
        for name in session_keys(TENANT, "s"):
            assert 3_690_000 < client.pttl(name) <= 3_700_000
        assert len(client.hkeys(session_keys(TENANT, "s")[4])) == 1
        assert client.pttl(session_keys(TENANT, "immortal")[0]) == -1
        await store.bury(tombstone(commit.record, "lost", 9.0))
        assert client.pttl(session_keys(TENANT, "s")[1]) > 3_690_000


async def test_a_session_that_redis_dropped_is_neither_found_nor_listed(store, redis_server):
    mortal = replace(RECORD, ttl_seconds=60.0)
    await create(store, mortal, b"state")
    with redis_server.client() as client:
        client.delete(*session_keys(TENANT, "s"))
        assert await store.get(TENANT, "s") is None
        assert await store.list(TENANT, None, 9) == []
        assert await store.count(TENANT, mortal.expires_at) == 0
        assert await store.due(1e12, 9) == []
        assert not client.exists(open_key(TENANT))
        assert client.zcard(DUE) == client.zcard(ids_key(TENANT)) == 0
    assert await create(store, mortal, b"state") is True
    assert await store.list(TENANT, None, 9) == [mortal]


async def test_what_redis_dropped_holds_no_key_of_a_request(store, redis_server):
    request = RequestRecord("k", b"r" * 32, "s")
    begun = Beginning(RECORD, b"state", request=request)
    assert await store.begin(begun) == "begun"
    with redis_server.client() as client:
        client.delete(*session_keys(TENANT, "s"))
    assert await store.request(TENANT, "k") is None
    # Another session of that id was begun by nobody's request.
    assert await create(store, replace(RECORD, incarnation="i2"), b"state")
    assert await store.request(TENANT, "k") is None
    other = Beginning(make_record("t"), b"", request=replace(request, session_id="t"))
    assert await store.begin(other) == "begun"
    assert await store.begin(other) == "key_taken"
    assert (await store.request(TENANT, "k")).session_id == "t"


async def test_of_two_that_take_over_a_key_one_begins(redis_url, redis_server):
    """Both have seen that what the key stood for is gone."""
    request = RequestRecord("k", b"r" * 32, "s")
    async with RedisStore(redis_url) as one, RedisStore(redis_url) as two:
        assert await one.begin(Beginning(RECORD, b"", request=request)) == "begun"
        with redis_server.client() as client:
            client.delete(*session_keys(TENANT, "s"))
        rivals = [
            Beginning(make_record(name), b"", request=replace(request, session_id=name))
            for name in "ab"
        ]
        outcomes = await asyncio.gather(one.begin(rivals[0]), two.begin(rivals[1]))
        assert sorted(outcomes) == ["begun", "key_taken"]


async def test_a_draft_that_nothing_came_of_goes_by_itself(store, redis_server):
    record = replace(RECORD, next_seq=300)
    chunks = tuple(make_chunk(seq) for seq in range(300))
    assert await store.begin(Beginning(record, b"", chunks=chunks)) == "begun"
    with redis_server.client() as client:
        assert client.keys("*:draft:*") == []
        assert client.pttl(session_keys(TENANT, "s")[2]) == -1
        again = Beginning(record, b"", chunks=chunks)
        assert await store.begin(again) == "id_taken"
        (draft,) = client.keys("*:draft:*")
        assert 500_000 < client.pttl(draft) <= 600_000
    assert await store.chunks(TENANT, "s", 0, 999) == list(chunks)


async def test_a_session_whose_draft_went_too_early_does_not_begin(
    store, redis_server, monkeypatch
):
    monkeypatch.setattr(scripts, "DRAFT", scripts.DRAFT + "redis.call('UNLINK', KEYS[1])")
    record = replace(RECORD, next_seq=1)
    with pytest.raises(Unavailable, match="too slow"):
        await store.begin(Beginning(record, b"", chunks=(make_chunk(0),)))
    assert await store.get(TENANT, "s") is None
    with redis_server.client() as client:
        assert client.keys("*:state") == []


async def test_what_a_crash_left_of_a_beginning_is_cleared_away(store, redis_server):
    await store._opened.call(lambda redis: index.add(redis, RECORD))
    assert await store.list(TENANT, None, 9) == []
    assert await store.due(RECORD.created_at + 3_599, 9) == []
    with redis_server.client() as client:
        assert client.zcard(DUE) == 1
        assert await store.due(RECORD.created_at + 3_600, 9) == []
        assert client.zcard(DUE) == client.zcard(ids_key(TENANT)) == 0


async def test_a_session_begun_while_its_id_is_cleared_away_stays_listed(store):
    """The sweep has seen no record; then the session is made and known; then the sweep removes the id."""
    await create(store, RECORD, b"state")
    await store._opened.call(lambda redis: index._put_right(redis, (TENANT, "s"), None))
    assert await store.list(TENANT, None, 9) == [RECORD]
    assert await store.count(TENANT, 9.0) == 1


async def test_an_immortal_session_is_looked_at_once(store, redis_server):
    await create(store, RECORD, b"state")
    assert await store.due(1e12, 9) == []
    with redis_server.client() as client:
        assert client.zscore(DUE, due_member(TENANT, "s")) is None
    assert await store.list(TENANT, None, 9) == [RECORD]


async def test_pages_go_on_over_what_is_listed_and_gone(store, redis_server, monkeypatch):
    monkeypatch.setattr("service.sessions.stores.redis_index._PAGE", 7)
    for number in range(40):
        await create(store, make_record(f"s{number:03}"), b"")
    with redis_server.client() as client:
        for number in range(5, 30):
            client.delete(*session_keys(TENANT, f"s{number:03}"))
    names = [record.id for record in await store.list(TENANT, "s001", 10)]
    assert names == ["s002", "s003", "s004", *(f"s0{number}" for number in range(30, 37))]


def test_names_of_tenants_and_sessions_cannot_meet():
    names = [
        session_keys(*name)[0]
        for name in (("a", "b"), ("a/b", ""), ("a}", "{b"), ("", "a/b"), ("a:b", "c"), ("a", "b:c"))
    ]
    assert len(set(names)) == len(names)
    assert all(name.count("{") == name.count("}") == 1 for name in names)


async def test_two_stores_on_one_server_are_two_machines(redis_url):
    async with RedisStore(redis_url) as one, RedisStore(redis_url) as two:
        record = RECORD
        await create(one, record, b"state")
        for turn in range(10):
            commits = [make_commit(record, f"{turn} by {who}") for who in "ab"]
            won = await asyncio.gather(one.commit(commits[0]), two.commit(commits[1]))
            assert sorted(won) == [False, True]
            record = commits[won.index(True)].record
            assert await one.get(TENANT, "s") == await two.get(TENANT, "s") == record
