"""A store that hangs or fails costs its callers a bounded time, and soon none."""

import asyncio
import time
from dataclasses import replace

import pytest

from service.errors import OutOfStorage, Unavailable
from service.sessions.origins import Beginning
from service.sessions.stores import MemoryStore
from service.sessions.stores.breaker import CircuitBreaker
from service.sessions.stores.guarded import GuardedStore
from tests.service.sessions.made import TENANT, create, make_chunk, make_record
from tests.service.sessions.watching import Clock, Heard

RECORD = make_record()


class Moody(MemoryStore):
    """Does what `mood` says before every read."""

    def __init__(self) -> None:
        super().__init__()
        self.mood: Exception | float | None = None
        self.asked = 0

    async def get(self, tenant, session_id):
        self.asked += 1
        if isinstance(self.mood, Exception):
            raise self.mood
        if self.mood is not None:
            await asyncio.sleep(self.mood)
        return await super().get(tenant, session_id)


class Room:
    def __init__(self, seconds: float = 0.05) -> None:
        self.inner, self.heard, self.clock = Moody(), Heard(), Clock()
        breaker = CircuitBreaker(failures=3, open_seconds=2.0)
        self.store = GuardedStore(self.inner, self.heard, seconds, breaker, self.clock)

    async def refusal(self) -> Unavailable:
        with pytest.raises(Unavailable) as caught:
            await self.store.get(TENANT, "s")
        assert caught.value.code == "store_unavailable"
        return caught.value


@pytest.fixture
async def room():
    room = Room()
    await create(room.store, RECORD, b"state")
    return room


DOWN = Unavailable("store_unavailable", "down")


async def test_what_hangs_is_not_waited_for(room):
    room.inner.mood = 60.0
    began = time.monotonic()
    assert "did not answer within 0.05 seconds" in (await room.refusal()).detail
    assert time.monotonic() - began < 10


class Copying(MemoryStore):
    """Takes its time to begin a session with a past."""

    async def begin(self, beginning):
        await asyncio.sleep(0.2 if beginning.chunks else 0.0)
        return await super().begin(beginning)


async def test_a_long_past_may_take_its_time_to_be_copied():
    for count, done in ((1, False), (2_000, True)):
        store = GuardedStore(Copying(), Heard(), seconds=0.05)
        record = replace(make_record(f"s{count}"), next_seq=count)
        beginning = Beginning(record, b"", chunks=tuple(make_chunk(seq) for seq in range(count)))
        try:
            assert (await store.begin(beginning) == "begun") == done
        except Unavailable:
            assert not done


class Forever(MemoryStore):
    """Never begins anything."""

    async def begin(self, beginning):
        await asyncio.sleep(3600)


@pytest.mark.parametrize(
    ("count", "own", "sources", "chunks"),
    [
        (3, 0, None, 3),
        (1_000_000_000, 999_999_990, None, 10),
        (1_000_000_000, 0, 999_999_980, 20),
        (10, 0, 999, 0),
        (100_000, 0, 0, 30),
    ],
)
async def test_a_beginning_is_waited_for_as_long_as_what_it_copies_takes(
    monkeypatch, count, own, sources, chunks
):
    """Whether a session of ten chunks or of a billion whose answers are no longer kept, and never for ever."""
    monkeypatch.setattr("service.sessions.stores.guarded.COPYING_SECONDS", 0.03)
    store = GuardedStore(Forever(), Heard(), seconds=0.01)
    record = replace(make_record(), next_seq=count, kept_from=own)
    source = None if sources is None else replace(make_record("source"), kept_from=sources)
    come = tuple(make_chunk(seq) for seq in range(own, count)) if source is None else ()
    seconds = 0.01 + 0.001 * chunks
    with pytest.raises(Unavailable, match=f"within {seconds:g} seconds"):
        await store.begin(Beginning(record, b"", source=source, chunks=come))


@pytest.mark.parametrize(("mood", "tries"), [(DOWN, 3), (60.0, 1)], ids=["refuses", "hangs"])
async def test_what_does_not_answer_is_left_alone_and_tried_again(room, mood, tries):
    """One operation that nothing was heard of is enough: the next would wait as long."""
    room.inner.mood = mood
    for _ in range(tries):
        assert "retry_after_s" not in (await room.refusal()).extras
    assert room.heard.circuit == [True]
    for now, seconds in ((0.0, 2), (1.5, 1)):
        room.clock.now = now
        assert (await room.refusal()).extras == {"retry_after_s": seconds}
    assert room.inner.asked == tries
    room.clock.now = 2.0
    await room.refusal()
    assert room.inner.asked == tries + 1
    room.clock.now = 4.0
    room.inner.mood = None
    assert await room.store.get(TENANT, "s") == RECORD
    assert await room.store.get(TENANT, "s") == RECORD
    assert room.heard.circuit == [True, False]


async def test_one_call_tries_for_all():
    room = Room(seconds=60.0)
    await create(room.store, RECORD, b"state")
    room.inner.mood = DOWN
    for _ in range(3):
        await room.refusal()
    room.clock.now, room.inner.mood = 2.0, 0.01
    outcomes = await asyncio.gather(
        *(room.store.get(TENANT, "s") for _ in range(8)), return_exceptions=True
    )
    assert outcomes[0] == RECORD
    assert {type(outcome) for outcome in outcomes[1:]} == {Unavailable}
    assert room.inner.asked == 4


@pytest.mark.parametrize(
    "error", [OutOfStorage("out_of_storage", "full"), ZeroDivisionError()], ids=["full", "bug"]
)
async def test_a_store_that_says_no_has_answered(room, error):
    room.inner.mood = error
    for _ in range(9):
        with pytest.raises(type(error)):
            await room.store.get(TENANT, "s")
    assert room.inner.asked == 9
    assert room.heard.circuit == []


async def test_a_caller_that_leaves_says_nothing_of_the_store(room):
    room.inner.mood = DOWN
    for _ in range(3):
        await room.refusal()
    room.clock.now, room.inner.mood = 2.0, 60.0
    trial = asyncio.create_task(room.store.get(TENANT, "s"))
    await asyncio.sleep(0)
    trial.cancel()
    await asyncio.wait([trial])
    room.inner.mood = None
    assert await room.store.get(TENANT, "s") == RECORD
