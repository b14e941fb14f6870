"""Out of one service and into another: what goes on there is what would have gone on here."""

from dataclasses import replace

import numpy as np
import pytest

from service.errors import Conflict, Gone, NotFound, Unprocessable
from service.ports import AppendCommand
from service.sessions.beginnings import RequestKey, Wish
from service.sessions.copies import SessionCopies
from service.sessions.origins import SessionTraits
from service.sessions.session_file import unpack
from tests.service.sessions.begun import begin_session
from tests.service.sessions.bench import Bench, vectors
from tests.service.sessions.fakes import INFO, TENANT, command
from tests.service.sessions.made import make_commit
from tests.service.sessions.watching import Clock

PAST = ["one two", "three", "four five six"]
FUTURE = ["seven", "eight nine"]
KEY = RequestKey("k", b"d" * 32)


def copies(bench: Bench, most: int = 1 << 20) -> SessionCopies:
    return SessionCopies(bench.store, most, bench.clock, bench.listener)


async def export(bench: Bench, name: str = "s", *, answers: bool = True) -> bytes:
    return (await copies(bench).transfers.export(TENANT, name, answers=answers))[1]


async def adopt(bench: Bench, data: bytes, wish: Wish | None = None, tenant: str = TENANT):
    contents = unpack(data)
    return await copies(bench).transfers.adopt(tenant, INFO, contents, wish or Wish())


@pytest.fixture
async def bench() -> Bench:
    made = Bench()
    wish = Wish("s", '{"title":"ü"}')
    await made.catalog.begin(TENANT, INFO, wish, SessionTraits(indexed=True))
    await made.append(command(*PAST, first=0))
    return made


@pytest.mark.parametrize("elsewhere", [True, False])
async def test_an_imported_session_goes_on_bit_for_bit(bench, elsewhere):
    data = await export(bench)
    await bench.catalog.delete(TENANT, "s")
    there = Bench() if elsewhere else bench
    begun = await adopt(there, data, Wish("again"))
    assert (begun.record.next_seq, begun.record.tokens, begun.replayed) == (3, 6, False)
    assert (begun.record.metadata, begun.traits) == ('{"title":"ü"}', SessionTraits(indexed=True))
    result = await there.append(
        AppendCommand(TENANT, "again", tuple(FUTURE), 3, want_document=True)
    )
    expected, document = there.reader.fold([*PAST, *FUTURE])
    np.testing.assert_array_equal(vectors(result), expected[3:])
    np.testing.assert_array_equal(result.document, document)


async def test_with_its_answers_it_replays_and_without_them_it_refuses(bench):
    with_answers = (await adopt(bench, await export(bench), Wish("with"))).record
    without = (await adopt(bench, await export(bench, answers=False), Wish("without"))).record
    replay = await bench.append(AppendCommand(TENANT, with_answers.id, tuple(PAST), 0))
    assert all(answer.replayed for answer in replay.answers)
    np.testing.assert_array_equal(vectors(replay), bench.reader.fold(PAST)[0])
    with pytest.raises(Conflict) as caught:
        await bench.append(AppendCommand(TENANT, without.id, tuple(PAST), 0))
    assert caught.value.code == "sequence_conflict"
    assert "no longer kept" in caught.value.detail


async def test_what_is_complete_or_empty_stays_so(bench):
    await bench.catalog.complete(TENANT, "s")
    await bench.begin("empty")
    done = await adopt(bench, await export(bench), Wish("done"))
    assert done.record.completed
    begun = await adopt(bench, await export(bench, "empty"), Wish("fresh"))
    assert begun.record.next_seq == 0
    result = await bench.append(AppendCommand(TENANT, "fresh", tuple(PAST), 0))
    np.testing.assert_array_equal(vectors(result), bench.reader.fold(PAST)[0])


async def test_the_same_session_is_the_same_file(bench):
    assert await export(bench) == await export(bench)
    begun = await adopt(bench, await export(bench), Wish("again"))
    there = unpack(await export(bench, begun.record.id))
    here = unpack(await export(bench))
    assert replace(there, session_id="s", state=here.state) == here


async def test_another_version_of_the_model_reads_no_file(bench):
    contents = replace(unpack(await export(bench)), fingerprint="e" * 64)
    with pytest.raises(Conflict) as caught:
        await copies(bench).transfers.adopt(TENANT, INFO, contents, Wish("x"))
    assert caught.value.code == "model_changed"
    assert caught.value.extras["stored_fingerprint"] == "e" * 64
    with pytest.raises(NotFound):
        await bench.catalog.get(TENANT, "x")


async def test_a_file_larger_than_any_that_is_imported_is_not_written(bench):
    size = len(await export(bench))
    small = len(await export(bench, answers=False))
    transfers = copies(bench, size - 1).transfers
    with pytest.raises(Unprocessable) as caught:
        await transfers.export(TENANT, "s", answers=True)
    assert caught.value.code == "answer_too_large"
    assert caught.value.extras == {"max_import_bytes": size - 1}
    assert len((await transfers.export(TENANT, "s", answers=False))[1]) == small
    # Long sessions are refused before all of their answers were read.
    with pytest.raises(Unprocessable):
        await copies(bench, 200).transfers.export(TENANT, "s", answers=True)


async def test_chunks_that_come_in_meanwhile_are_of_a_later_moment(bench, monkeypatch):
    inner, more = bench.store.chunks, ["late"]

    async def racing(tenant, session, first, limit):
        if more:
            await bench.append(command(more.pop(), first=3))
        return await inner(tenant, session, first, limit)

    monkeypatch.setattr(bench.store, "chunks", racing)
    contents = unpack(await export(bench))
    assert (contents.next_seq, [chunk.seq for chunk in contents.chunks]) == (3, [0, 1, 2])


async def test_a_file_has_no_gap_where_chunks_go_while_it_is_written(bench, monkeypatch):
    """Two pages, and between them what the first one had is kept no longer."""
    monkeypatch.setattr("service.sessions.transfers.PAGE", 1)
    inner, record = bench.store.chunks, await bench.catalog.get(TENANT, "s")

    async def chunks(tenant, session_id, first_seq, limit):
        found = await inner(tenant, session_id, first_seq, limit)
        if first_seq == 0:
            commit = make_commit(record, forget_before=2)
            assert await bench.store.commit(commit)
        return found

    monkeypatch.setattr(bench.store, "chunks", chunks)
    contents = unpack(await export(bench))
    assert (contents.next_seq, [chunk.seq for chunk in contents.chunks]) == (3, [2])


async def test_a_request_that_is_sent_again_is_told_of_its_session(bench):
    data = await export(bench)
    first = await adopt(bench, data, Wish(request=KEY))
    again = await adopt(bench, data, Wish(request=KEY))
    assert (again.record, again.replayed) == (first.record, True)
    assert bench.listener.events["import"] == 1
    assert bench.listener.events["export"] == 1
    with pytest.raises(Conflict, match="session_exists"):
        await adopt(bench, data, Wish("s"))


async def test_it_is_its_owners_alone(bench):
    with pytest.raises(NotFound):
        await copies(bench).transfers.export("tenant-b", "s", answers=True)
    data = await export(bench)
    assert (await adopt(bench, data, Wish("s"), "tenant-b")).record.tenant == "tenant-b"
    await bench.catalog.delete(TENANT, "s")
    with pytest.raises(Gone):
        await export(bench)


@pytest.mark.parametrize("page", [1, 2, 1024])
@pytest.mark.parametrize("replaced", [False, True])
async def test_no_file_is_written_of_a_session_that_ends_meanwhile(
    bench, monkeypatch, page, replaced
):
    monkeypatch.setattr("service.sessions.transfers.PAGE", page)
    inner, ended = bench.store.chunks, False

    async def chunks(tenant, session_id, first_seq, limit):
        nonlocal ended
        found = await inner(tenant, session_id, first_seq, limit)
        if not ended:
            ended = True
            await bench.catalog.delete(TENANT, "s")
            if replaced:
                bench.store._sessions.pop((TENANT, "s"))
                await bench.begin()
                await bench.append(command(*PAST, *FUTURE, first=0))
        return found

    monkeypatch.setattr(bench.store, "chunks", chunks)
    with pytest.raises(Gone) as caught:
        await export(bench)
    assert caught.value.code == "session_deleted"


async def test_no_file_is_written_of_a_session_that_expires_meanwhile(bench, monkeypatch):
    await begin_session(bench.catalog, TENANT, INFO, "brief", ttl_seconds=1000)
    await bench.append(AppendCommand(TENANT, "brief", tuple(PAST), 0))
    inner, clock = bench.store.chunks, Clock(bench.clock())

    async def chunks(tenant, session_id, first_seq, limit):
        clock.now += 2000
        return await inner(tenant, session_id, first_seq, limit)

    monkeypatch.setattr(bench.store, "chunks", chunks)
    there = SessionCopies(bench.store, 1 << 20, clock, bench.listener)
    with pytest.raises(Gone) as caught:
        await there.transfers.export(TENANT, "brief", answers=True)
    assert caught.value.code == "session_expired"


@pytest.mark.parametrize("missing", [0, 1, 2])
async def test_no_file_is_written_of_chunks_that_are_not_all_there(bench, missing):
    bench.store._sessions[TENANT, "s"].chunks.pop(missing)
    with pytest.raises(Conflict) as caught:
        await export(bench)
    assert caught.value.code == "request_in_progress"


async def test_a_file_has_no_answers_where_none_is_kept_any_more(bench, monkeypatch):
    inner, record = bench.store.chunks, await bench.catalog.get(TENANT, "s")

    async def chunks(tenant, session_id, first_seq, limit):
        if record.next_seq == (await bench.catalog.get(TENANT, "s")).next_seq:
            assert await bench.store.commit(make_commit(record, forget_before=3))
        return await inner(tenant, session_id, first_seq, limit)

    monkeypatch.setattr(bench.store, "chunks", chunks)
    contents = unpack(await export(bench))
    assert (contents.next_seq, contents.chunks) == (3, ())
