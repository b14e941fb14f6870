"""What every backend promises: beginnings, commits, reads; `test_contract_ends` has the rest."""

import asyncio
from dataclasses import replace

import pytest

from service.sessions.changes import completed_record, tombstone
from service.sessions.records import KeyRecord
from tests.service.sessions.made import TENANT, create, grown, make_chunk, make_commit, make_record

RECORD = make_record()


async def test_what_was_created_is_there(store):
    assert await store.get(TENANT, "s") is None
    assert await store.get_with_state(TENANT, "s") is None
    assert await create(store, RECORD, b"\0state") is True
    assert await store.get(TENANT, "s") == RECORD
    assert await store.get_with_state(TENANT, "s") == (RECORD, b"\0state")


async def test_an_id_is_created_once(store):
    await create(store, RECORD, b"state")
    assert await create(store, make_record(incarnation="i2"), b"other") is False
    assert await store.get_with_state(TENANT, "s") == (RECORD, b"state")


async def test_a_commit_changes_everything_at_once(store):
    await create(store, RECORD, b"begin")
    commit = make_commit(RECORD, key="k")
    assert await store.commit(commit) is True
    assert await store.get_with_state(TENANT, "s") == (commit.record, commit.state)
    assert await store.chunks(TENANT, "s", 0, 10) == [commit.chunk]
    assert await store.key(TENANT, "s", "k") == commit.key
    assert await store.key(TENANT, "s", "other") is None


@pytest.mark.parametrize("wrong", ["version", "incarnation", "status", "session", "tenant"])
async def test_a_commit_that_does_not_match_changes_nothing(store, wrong):
    record = await grown(store, RECORD, 2)
    stale = {
        "version": make_commit(replace(record, version=1, next_seq=1), "late", key="k"),
        "incarnation": make_commit(replace(record, incarnation="i2"), "late", key="k"),
        "status": make_commit(record, "late", key="k"),
        "session": make_commit(replace(record, id="other"), "late", key="k"),
        "tenant": make_commit(replace(record, tenant="tenant-b"), "late", key="k"),
    }[wrong]
    if wrong == "status":
        assert await store.bury(tombstone(record, "deleted", 9.0))
    before = (
        await store.get_with_state(TENANT, "s"),
        await store.chunks(TENANT, "s", 0, 10),
        await store.key(TENANT, "s", "k"),
    )
    assert await store.commit(stale) is False
    assert before == (
        await store.get_with_state(TENANT, "s"),
        await store.chunks(TENANT, "s", 0, 10),
        await store.key(TENANT, "s", "k"),
    )
    assert await store.get("tenant-b", "s") is None
    assert await store.get(TENANT, "other") is None


async def test_one_of_many_racing_commits_wins(store):
    await create(store, RECORD, b"begin")
    commits = [make_commit(RECORD, f"text {number}") for number in range(8)]
    results = await asyncio.gather(*(store.commit(commit) for commit in commits))
    assert sorted(results) == [False] * 7 + [True]
    winner = commits[results.index(True)]
    assert await store.get_with_state(TENANT, "s") == (winner.record, winner.state)
    assert await store.chunks(TENANT, "s", 0, 10) == [winner.chunk]


async def test_completing_keeps_everything_and_stands(store):
    record = await grown(store, RECORD, 2, key="k")
    _, state = await store.get_with_state(TENANT, "s")
    done = completed_record(record, 50.0)
    assert await store.complete(done, expected_version=2) is True
    found = await store.get(TENANT, "s")
    assert found == done
    assert found.completed is True
    assert await store.get_with_state(TENANT, "s") == (done, state)
    assert await store.chunks(TENANT, "s", 0, 10) == [make_chunk(0), make_chunk(1)]
    assert await store.key(TENANT, "s", "k") == KeyRecord("k", b"d" * 32, 1)
    assert await store.list(TENANT, None, 10) == [done]
    # What was computed before it came too late.
    assert await store.commit(make_commit(record)) is False
    assert await store.get(TENANT, "s") == done
    assert await store.bury(tombstone(done, "deleted", 51.0), expected_version=3) is True


@pytest.mark.parametrize("wrong", ["version", "incarnation", "status", "session", "tenant"])
async def test_a_completion_that_does_not_match_changes_nothing(store, wrong):
    record = await grown(store, RECORD, 2)
    done = completed_record(record, 50.0)
    stale = {
        "version": replace(done, version=2),
        "incarnation": replace(done, incarnation="i2"),
        "status": done,
        "session": replace(done, id="other"),
        "tenant": replace(done, tenant="tenant-b"),
    }[wrong]
    if wrong == "status":
        record = tombstone(record, "lost", 9.0)
        assert await store.bury(record)
    assert await store.complete(stale, expected_version=stale.version - 1) is False
    assert await store.get(TENANT, "s") == record
    assert await store.get("tenant-b", "s") is None
    assert await store.get(TENANT, "other") is None


async def test_an_append_and_a_completion_that_race_do_not_both_win(store):
    record = RECORD
    await create(store, record, b"begin")
    commit, done = make_commit(record), completed_record(record, 50.0)
    results = await asyncio.gather(store.commit(commit), store.complete(done, record.version))
    assert sorted(results) == [False, True]
    assert await store.get(TENANT, "s") == (commit.record if results[0] else done)
    assert await store.chunks(TENANT, "s", 0, 9) == ([commit.chunk] if results[0] else [])


async def test_chunks_come_in_order_from_where_they_are_asked_for(store):
    await grown(store, RECORD, 5)
    chunks = [make_chunk(seq) for seq in range(5)]
    assert await store.chunks(TENANT, "s", 0, 10) == chunks
    assert await store.chunks(TENANT, "s", 2, 2) == chunks[2:4]
    assert await store.chunks(TENANT, "s", 5, 10) == []
    assert await store.chunks("tenant-b", "s", 0, 10) == []


async def test_forgetting_drops_old_answers_and_no_key(store):
    record = await grown(store, RECORD, 3, key="k")
    await store.commit(make_commit(record, key="new", forget_before=3))
    assert [chunk.seq for chunk in await store.chunks(TENANT, "s", 0, 10)] == [3]
    assert await store.key(TENANT, "s", "k") == KeyRecord("k", b"d" * 32, 2)
    assert await store.key(TENANT, "s", "new") == KeyRecord("new", b"d" * 32, 3)


async def test_burying_may_be_tied_to_a_version(store):
    record = await grown(store, RECORD, 2)
    grave = tombstone(record, "deleted", 9.0)
    assert await store.bury(replace(grave, incarnation="i2")) is False
    assert await store.bury(grave, expected_version=1) is False
    assert await store.get(TENANT, "s") == record
    assert await store.bury(grave, expected_version=2) is True
    assert await store.bury(make_record("unknown")) is False


async def test_listing_pages_through_a_tenants_open_sessions(store):
    names = ["b", "a", "Z", "c.1", "c-1", "gone"]
    for name in names:
        await create(store, make_record(name), b"")
    await create(store, make_record("foreign", tenant="tenant-b"), b"")
    await store.bury(tombstone(make_record("gone"), "deleted", 9.0))
    expected = sorted(set(names) - {"gone"})
    assert [record.id for record in await store.list(TENANT, None, 10)] == expected
    assert [record.id for record in await store.list(TENANT, None, 2)] == expected[:2]
    assert [record.id for record in await store.list(TENANT, expected[1], 2)] == expected[2:4]
    assert await store.list(TENANT, "zzz", 10) == []
    assert (await store.list("tenant-b", None, 10))[0] == make_record("foreign", tenant="tenant-b")


async def test_tenants_never_meet(store):
    mine, theirs = make_record(), make_record(tenant="tenant-b", incarnation="i2")
    await create(store, mine, b"mine")
    await create(store, theirs, b"theirs")
    await store.commit(make_commit(mine, key="k"))
    assert await store.get_with_state("tenant-b", "s") == (theirs, b"theirs")
    assert await store.key("tenant-b", "s", "k") is None
    await store.bury(tombstone(theirs, "deleted", 9.0))
    assert (await store.chunks(TENANT, "s", 0, 10)) == [make_chunk(0)]


async def test_a_cancelled_commit_happens_completely_or_not_at_all(store):
    record = RECORD
    await create(store, record, b"begin")
    for attempt in range(20):
        commit = make_commit(record, f"text {attempt}", key=f"k{attempt}")
        task = asyncio.create_task(store.commit(commit))
        for _ in range(attempt % 4):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        await store.ping()
        stored = await store.get(TENANT, "s")
        assert stored in {record, commit.record}
        happened = stored == commit.record
        kept = await store.chunks(TENANT, "s", commit.chunk.seq, 1)
        assert kept == ([commit.chunk] if happened else [])
        assert (await store.key(TENANT, "s", f"k{attempt}") is not None) == happened
        record = stored


async def test_ping_answers(store):
    await store.ping()
    await store.ping()


@pytest.mark.parametrize(
    "change",
    [
        {"expected_version": 1},
        {"chunk": make_chunk(3)},
        {"record": replace(make_commit(RECORD).record, kept_from=1)},
    ],
    ids=["version", "chunk", "kept"],
)
def test_a_commit_is_one_step(change):
    with pytest.raises(ValueError, match="exactly"):
        replace(make_commit(RECORD), **change)
