"""What every backend promises of sessions that are over: buried, due, forgotten, put into quarantine."""

from dataclasses import replace

import pytest

from service.sessions.changes import lost_record, tombstone
from service.sessions.records import KeyRecord
from tests.service.sessions.made import TENANT, create, grown, make_chunk, make_commit, make_record

RECORD = make_record()


async def test_a_lost_session_is_closed_and_keeps_everything(store):
    record = await grown(store, RECORD, 2, key="k")
    _, state = await store.get_with_state(TENANT, "s")
    grave = tombstone(record, "lost", 77.0)
    assert await store.bury(grave, expected_version=2) is True
    assert await store.get(TENANT, "s") == grave
    assert await store.get_with_state(TENANT, "s") == (grave, state)
    assert await store.chunks(TENANT, "s", 0, 10) == [make_chunk(0), make_chunk(1)]
    assert await store.key(TENANT, "s", "k") == KeyRecord("k", b"d" * 32, 1)
    assert await store.list(TENANT, None, 10) == []
    assert await create(store, make_record(incarnation="i2"), b"again") is False
    assert await store.commit(make_commit(grave)) is False


@pytest.mark.parametrize("version", [None, 3])
async def test_a_lost_session_can_be_deleted_and_nothing_else(store, version):
    record = await grown(store, RECORD, 2, key="k")
    lost = tombstone(record, "lost", 77.0)
    assert await store.bury(lost)
    assert await store.bury(tombstone(lost, "lost", 78.0)) is False
    assert await store.bury(tombstone(lost, "expired", 78.0)) is False
    grave = tombstone(lost, "deleted", 79.0)
    assert await store.bury(grave, expected_version=version) is True
    assert await store.get_with_state(TENANT, "s") == (grave, b"")
    assert await store.chunks(TENANT, "s", 0, 10) == []
    assert await store.key(TENANT, "s", "k") is None


@pytest.mark.parametrize("over", ["deleted", "expired"])
async def test_a_session_that_is_over_leaves_a_tombstone_and_nothing_else(store, over):
    record = await grown(store, RECORD, 2, key="k")
    grave = tombstone(record, over, 77.0)
    assert await store.bury(grave) is True
    assert await store.get(TENANT, "s") == grave
    assert await store.get_with_state(TENANT, "s") == (grave, b"")
    assert await store.chunks(TENANT, "s", 0, 10) == []
    assert await store.key(TENANT, "s", "k") is None
    assert await create(store, make_record(incarnation="i2"), b"again") is False
    assert await store.bury(tombstone(record, "lost", 78.0)) is False
    assert await store.get(TENANT, "s") == grave


async def test_forgetting_frees_the_id(store):
    record = await grown(store, RECORD, 2, key="k")
    grave = tombstone(record, "deleted", 77.0)
    await store.bury(grave)
    for other in (
        record,
        replace(grave, version=9),
        replace(grave, incarnation="i2"),
        replace(grave, id="t"),
    ):
        assert await store.forget(other) is False
    assert await store.get(TENANT, "s") == grave
    assert await store.forget(grave) is True
    assert await store.get(TENANT, "s") is None
    assert await store.forget(grave) is False
    again = make_record(incarnation="i2")
    assert await create(store, again, b"again") is True
    assert await store.get_with_state(TENANT, "s") == (again, b"again")
    assert await store.chunks(TENANT, "s", 0, 10) == []
    assert await store.key(TENANT, "s", "k") is None
    assert await store.list(TENANT, None, 10) == [again]


async def test_whatever_can_be_forgotten_is_forgotten_whole(store):
    record = await grown(store, RECORD, 2, key="k")
    assert await store.forget(record) is True
    assert await store.get_with_state(TENANT, "s") is None
    assert await store.chunks(TENANT, "s", 0, 10) == []
    assert await store.key(TENANT, "s", "k") is None


async def test_what_is_due_is_found_when_it_is(store):
    mortal = replace(make_record("mortal"), ttl_seconds=10.0, tombstone_seconds=5.0)
    ending = replace(make_record("ending"), ends_at=20.0, tombstone_seconds=5.0)
    for record in (mortal, ending, make_record("immortal"), make_record("gone")):
        assert await create(store, record, b"state")
    assert await store.bury(replace(tombstone(make_record("gone"), "deleted", 9.0)))
    for now, names in (
        (12.4, []),
        (12.5, ["mortal"]),
        (20.0, ["ending", "mortal"]),
        (86_409.0, ["ending", "gone", "mortal"]),
    ):
        assert sorted(await store.due(now, 9)) == [(TENANT, name) for name in names]
    assert len(await store.due(86_409.0, 2)) == 2
    # A commit extends the one and not the other; a tombstone is due when it is forgotten.
    assert await store.commit(make_commit(mortal))
    assert await store.due(13.4, 9) == []
    grave = tombstone(ending, "expired", 30.0)
    assert await store.bury(grave)
    assert (TENANT, "ending") not in await store.due(24.9, 9)
    assert (TENANT, "ending") in await store.due(25.0, 9)
    assert await store.forget(grave)
    assert (TENANT, "ending") not in await store.due(25.0, 9)


async def test_open_sessions_are_counted_until_they_expire(store):
    mortal = replace(make_record("mortal"), ttl_seconds=10.0)
    ending = replace(make_record("ending"), ends_at=20.0)
    gone, lost = make_record("gone"), make_record("lost")
    for record in (mortal, ending, gone, lost, make_record("immortal")):
        assert await create(store, record, b"state")
    assert await create(store, make_record("foreign", tenant="tenant-b"), b"state")
    assert [await store.count(TENANT, now) for now in (12.4, 12.5, 19.9, 20.0)] == [5, 4, 4, 3]
    # A commit extends the one and not the other; what is over does not count, and is not counted out twice.
    assert await store.commit(make_commit(mortal))
    assert await store.commit(make_commit(ending))
    assert [await store.count(TENANT, now) for now in (13.4, 13.5, 20.0)] == [5, 4, 3]
    for _ in range(2):
        await store.bury(tombstone(gone, "deleted", 9.0))
        await store.bury(tombstone(lost, "lost", 9.0))
    assert await store.count(TENANT, 9.0) == 3
    assert await store.forget(tombstone(gone, "deleted", 9.0))
    assert await create(store, gone, b"again")
    assert await store.count(TENANT, 9.0) == 4
    assert await store.forget(gone)
    assert [await store.count(tenant, 9.0) for tenant in (TENANT, "tenant-b", "")] == [3, 1, 0]


async def test_times_come_back_as_they_were(store):
    record = replace(
        RECORD,
        ttl_seconds=0.1,
        ends_at=1e10 + 0.25,
        tombstone_seconds=7,
        updated_at=1 / 3,
        kept_from=0,
    )
    assert await create(store, record, b"state")
    assert await store.get(TENANT, "s") == record


async def test_a_record_that_verifies_is_not_put_into_quarantine(store):
    record = await grown(store, RECORD, 1)
    assert await store.quarantine(lost_record(TENANT, "s", "i9", 50.0)) is False
    assert await store.quarantine(lost_record(TENANT, "unknown", "i9", 50.0)) is False
    assert await store.get(TENANT, "s") == record
    assert await store.get(TENANT, "unknown") is None
