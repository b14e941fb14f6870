"""What every backend promises about beginnings, snapshots and the keys of requests."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from service.sessions.changes import completed_record, tombstone
from service.sessions.origins import NO_TRAITS, Beginning, RequestRecord, SessionTraits
from service.sessions.records import SessionRecord
from tests.service.sessions.made import TENANT, create, grown, make_chunk, make_commit, make_record

RECORD = make_record()
INDEXED = SessionTraits(indexed=True)
FORK = SessionTraits(forked_from="s", forked_at=2)


def forked(source: SessionRecord, at: int, **changes: Any) -> Beginning:
    record = replace(make_record("fork", incarnation="i9"), next_seq=at, version=0)
    beginning = Beginning(record, b"copied", replace(FORK, forked_at=at), source=source)
    return replace(beginning, **changes)


async def seqs(store, name: str) -> list[int]:
    return [chunk.seq for chunk in await store.chunks(TENANT, name, 0, 99)]


async def test_a_beginning_is_there_with_all_that_comes_with_it(store):
    record = replace(RECORD, next_seq=2)
    request = RequestRecord("k", b"r" * 32, "s")
    chunks = (make_chunk(0), make_chunk(1))
    beginning = Beginning(record, b"state", INDEXED, chunks=chunks, request=request)
    assert await store.begin(beginning) == "begun"
    assert await store.get_with_state(TENANT, "s") == (record, b"state")
    assert await store.chunks(TENANT, "s", 0, 9) == list(chunks)
    assert await store.request(TENANT, "k") == request
    assert await store.traits(TENANT, ["s", "other"]) == {"s": INDEXED}
    assert await store.snapshots(TENANT, "s") == []
    # It goes on like any other.
    assert await store.commit(make_commit(replace(record, version=0)))


async def test_plain_sessions_have_no_traits(store):
    await create(store, RECORD, b"state")
    assert await store.begin(Beginning(make_record("t"), b"state", NO_TRAITS)) == "begun"
    assert await store.traits(TENANT, ["s", "t"]) == {}
    assert await store.traits(TENANT, []) == {}


async def test_a_fork_has_its_parents_chunks_up_to_where_it_left(store):
    parent = await grown(store, RECORD, 4)
    assert await store.begin(forked(parent, 2)) == "begun"
    assert await store.chunks(TENANT, "fork", 0, 9) == [make_chunk(0), make_chunk(1)]
    assert await store.traits(TENANT, ["s", "fork"]) == {"fork": FORK}
    # From here on they have nothing in common.
    fork = (await store.get(TENANT, "fork")) or parent
    await store.commit(make_commit(fork, "its own", forget_before=2))
    assert await seqs(store, "fork") == [2]
    assert await seqs(store, "s") == [0, 1, 2, 3]
    assert await store.bury(tombstone(parent, "deleted", 9.0))
    assert await seqs(store, "fork") == [2]
    assert await store.traits(TENANT, ["fork"]) == {"fork": FORK}


async def test_a_parent_may_have_moved_on_but_not_gone(store):
    parent = await grown(store, RECORD, 2)
    await store.commit(make_commit(parent))
    assert await store.begin(forked(parent, 2)) == "begun"
    assert await seqs(store, "fork") == [0, 1]
    done = completed_record(replace(parent, version=3, next_seq=3), 9.0)
    assert await store.complete(done, expected_version=3)
    other = forked(parent, 1, record=replace(make_record("two"), next_seq=1))
    assert await store.begin(other) == "begun"


@pytest.mark.parametrize(("at", "kept_from"), [(4, 3), (3, 3), (2, 2), (0, 0)])
async def test_a_fork_keeps_what_its_source_keeps_when_it_begins(store, at, kept_from):
    parent = await grown(store, RECORD, 4)
    # Nobody told whoever forks of this: the chunks go between its look and its write.
    commit = make_commit(parent, forget_before=3)
    assert await store.commit(commit)
    beginning = forked(parent, at)
    assert await store.begin(beginning) == "begun"
    found = await store.get(TENANT, "fork")
    assert found == replace(beginning.record, kept_from=kept_from)
    assert await seqs(store, "fork") == list(range(kept_from, at))
    assert await store.commit(make_commit(replace(found, version=0)))


async def test_a_long_past_comes_along_whole(store):
    chunks = tuple(make_chunk(seq) for seq in range(7, 1_300))
    record = replace(RECORD, next_seq=1_300, kept_from=7)
    assert await store.begin(Beginning(record, b"file", chunks=chunks)) == "begun"
    assert await store.begin(forked(record, 1_200)) == "begun"
    assert await store.chunks(TENANT, "s", 0, 9_999) == list(chunks)
    assert await store.chunks(TENANT, "fork", 0, 9_999) == list(chunks[: 1_200 - 7])


async def test_what_is_forgotten_frees_the_key_that_began_it(store):
    request = RequestRecord("k", b"r" * 32, "s")
    assert await store.begin(Beginning(RECORD, b"state", request=request)) == "begun"
    other = RequestRecord("other", b"o" * 32, "t")
    assert await store.begin(Beginning(make_record("t"), b"", request=other)) == "begun"
    grave = tombstone(RECORD, "deleted", 9.0)
    assert await store.bury(grave)
    assert await store.request(TENANT, "k") == request
    assert await store.forget(grave)
    assert await store.request(TENANT, "k") is None
    assert await store.request(TENANT, "other") == other
    again = Beginning(make_record("u"), b"state", request=replace(request, session_id="u"))
    assert await store.begin(again) == "begun"
    assert (await store.request(TENANT, "k")).session_id == "u"


@pytest.mark.parametrize("wrong", ["unknown", "incarnation", "deleted", "lost", "expired"])
async def test_a_source_that_is_not_there_any_more_begins_nothing(store, wrong):
    parent = await grown(store, RECORD, 2)
    request = RequestRecord("k", b"r" * 32, "fork")
    source = {
        "unknown": make_record("never"),
        "incarnation": replace(parent, incarnation="i2"),
    }.get(wrong, parent)
    if wrong in {"deleted", "lost", "expired"}:
        assert await store.bury(tombstone(parent, wrong, 9.0))
    assert await store.begin(forked(source, 2, request=request)) == "source_gone"
    assert await store.get(TENANT, "fork") is None
    assert await store.request(TENANT, "k") is None
    assert await seqs(store, "fork") == []


async def test_a_key_begins_one_session_also_after_that_is_gone(store):
    request = RequestRecord("k", b"r" * 32, "s")
    assert await store.begin(Beginning(RECORD, b"state", request=request)) == "begun"
    again = Beginning(make_record("t"), b"state", request=replace(request, session_id="t"))
    assert await store.begin(again) == "key_taken"
    # The key is looked at first: a retry is told of its session, whatever else has happened.
    assert await store.begin(Beginning(RECORD, b"state", request=request)) == "key_taken"
    assert await store.bury(tombstone(RECORD, "deleted", 9.0))
    assert await store.begin(again) == "key_taken"
    assert await store.request(TENANT, "k") == request
    assert await store.get(TENANT, "t") is None
    theirs = replace(make_record(tenant="tenant-b"), id="t")
    assert await store.request("tenant-b", "k") is None
    assert await store.begin(replace(again, record=theirs)) == "begun"


async def test_an_id_that_is_taken_begins_nothing(store):
    parent = await grown(store, RECORD, 2)
    request = RequestRecord("k", b"r" * 32, "s")
    taken = forked(parent, 1, record=replace(RECORD, next_seq=1), request=request)
    assert await store.begin(taken) == "id_taken"
    assert await store.request(TENANT, "k") is None
    assert await store.traits(TENANT, ["s"]) == {}
    assert await seqs(store, "s") == [0, 1]


async def test_one_of_many_racing_requests_begins_a_session(store):
    beginnings = [
        Beginning(
            make_record(name, incarnation=name), b"", request=RequestRecord("k", b"r" * 32, name)
        )
        for name in "abcdef"
    ]
    outcomes = await asyncio.gather(*map(store.begin, beginnings))
    assert sorted(outcomes) == ["begun"] + ["key_taken"] * 5
    winner = beginnings[outcomes.index("begun")].record.id
    assert [record.id for record in await store.list(TENANT, None, 9)] == [winner]


async def test_the_newest_snapshots_are_kept(store):
    record = RECORD
    await create(store, record, b"begin")
    states = {}
    for step in range(8):
        commit = make_commit(record, snapshots=2 if step % 2 else 0)
        assert await store.commit(commit)
        record = commit.record
        states[record.next_seq] = commit.state
    assert await store.snapshots(TENANT, "s") == [6, 8]
    for seq in (6, 8):
        assert await store.snapshot(TENANT, "s", seq) == states[seq]
    for name, seq in (("s", 4), ("s", 7), ("other", 6)):
        assert await store.snapshot(TENANT, name, seq) is None
    assert await store.snapshots("tenant-b", "s") == []
    assert await store.snapshot("tenant-b", "s", 6) is None
    # What is kept may shrink, and the state itself is untouched by it.
    await store.commit(make_commit(record, snapshots=1))
    assert await store.snapshots(TENANT, "s") == [9]
    assert await store.snapshot(TENANT, "s", 9) == (await store.get_with_state(TENANT, "s"))[1]


async def test_a_commit_that_does_not_match_keeps_no_snapshot(store):
    record = await grown(store, RECORD, 2)
    stale = make_commit(replace(record, version=1, next_seq=1), "late", snapshots=1)
    assert await store.commit(stale) is False
    assert await store.snapshots(TENANT, "s") == []


@pytest.mark.parametrize("status", ["deleted", "lost", "expired"])
async def test_snapshots_and_traits_stay_with_a_lost_session_alone(store, status):
    assert await store.begin(Beginning(RECORD, b"", INDEXED)) == "begun"
    commit = make_commit(RECORD, snapshots=3)
    await store.commit(commit)
    assert await store.bury(tombstone(commit.record, status, 9.0))
    kept = status == "lost"
    assert await store.snapshots(TENANT, "s") == ([1] if kept else [])
    assert (await store.snapshot(TENANT, "s", 1) is not None) == kept
    assert await store.traits(TENANT, ["s"]) == ({"s": INDEXED} if kept else {})


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"source": RECORD, "chunks": (make_chunk(0),)}, "not both"),
        ({"source": make_record(tenant="tenant-b")}, "own tenant"),
        ({"request": RequestRecord("k", b"r" * 32, "other")}, "session it begins"),
        ({"chunks": (make_chunk(0),)}, "read before"),
        ({"record": replace(RECORD, next_seq=2), "chunks": (make_chunk(0),)}, "all the chunks"),
        ({"record": replace(RECORD, next_seq=2), "chunks": (make_chunk(1),)}, "all the chunks"),
    ],
)
def test_a_beginning_is_of_one_piece(change, reason):
    with pytest.raises(ValueError, match=reason):
        replace(Beginning(RECORD, b""), **change)


async def test_a_beginning_that_came_to_nothing_does_not_make_the_next_due_later(store):
    assert await store.begin(forked(make_record("never"), 2)) == "source_gone"
    mortal = replace(make_record("fork"), ttl_seconds=1.0)
    assert await store.begin(Beginning(mortal, b"state", NO_TRAITS)) == "begun"
    assert await store.due(mortal.updated_at + 1.0, 9) == [(TENANT, "fork")]
