"""What a sweep removes, what it leaves, and that nothing depends on when it runs."""

import asyncio

import pytest

from service.errors import Conflict, Gone, NotFound, Unavailable
from service.ports import ModelInfo
from service.sessions.catalog import SessionCatalog
from service.sessions.lifetimes import Lifetimes
from service.sessions.stores import MemoryStore, SqliteStore
from service.sessions.sweeping import Sweeper
from tests.service.sessions.begun import begin_session
from tests.service.sessions.made import TENANT, make_commit
from tests.service.sessions.watching import Clock, Heard

INFO = ModelInfo("fake", "infini", 4, 64, 60, "f" * 64, "none")
LIVES = Lifetimes(tombstone_seconds=50.0)


class Room:
    """A store, a clock that stands, and all that looks at it."""

    def __init__(self, store) -> None:
        self.store, self.clock, self.heard = store, Clock(100.0), Heard()
        self.catalog = SessionCatalog(store, self.clock, self.heard, LIVES)
        self.sweeper = Sweeper(store, self.heard, self.clock)

    async def begin(self, name: str, ttl: float | None = None) -> None:
        await begin_session(self.catalog, TENANT, INFO, name, ttl_seconds=ttl)

    async def code(self, name: str) -> str:
        try:
            await self.catalog.get(TENANT, name)
        except (Gone, NotFound) as error:
            return error.code
        return "open"


@pytest.fixture(params=["memory", "sqlite"])
async def room(request, tmp_path):
    async with MemoryStore() if request.param == "memory" else SqliteStore(tmp_path / "s") as store:
        yield Room(store)


async def test_expired_sessions_are_emptied_and_then_forgotten(room):
    await room.begin("mortal", 10)
    await room.begin("immortal")
    record = await room.catalog.get(TENANT, "mortal")
    await room.store.commit(make_commit(record))
    assert await room.sweeper.sweep() == 0
    room.clock.now = 200.0
    assert (
        await room.code("mortal") == "session_not_found"
    )  # 101 + 10 + 50 is over, and nobody swept
    room.clock.now = 120.0
    assert await room.code("mortal") == "session_expired"
    assert await room.catalog.list(TENANT, None, 9) == [await room.catalog.get(TENANT, "immortal")]
    assert await room.sweeper.sweep() == 1
    assert await room.code("mortal") == "session_expired"
    assert (await room.store.get_with_state(TENANT, "mortal"))[1] == b""
    assert await room.store.chunks(TENANT, "mortal", 0, 9) == []
    assert await room.sweeper.sweep() == 0
    room.clock.now = 200.0
    assert await room.sweeper.sweep() == 1
    assert await room.store.get(TENANT, "mortal") is None
    assert await room.code("immortal") == "open"
    assert room.heard.events == {"create": 2, "expire": 1, "forget": 1}


async def test_a_deleted_session_is_forgotten_too_and_its_id_is_free(room):
    await room.begin("s")
    await room.catalog.delete(TENANT, "s")
    room.clock.now = 149.0
    assert await room.sweeper.sweep() == 0
    with pytest.raises(Conflict):
        await room.begin("s")
    room.clock.now = 150.0
    assert await room.sweeper.sweep() == 1
    await room.begin("s")
    assert await room.code("s") == "open"


@pytest.mark.parametrize("over", ["deleted", "expired"])
async def test_an_id_is_free_without_a_sweep(room, over):
    await room.begin("s", 10 if over == "expired" else None)
    if over == "deleted":
        await room.catalog.delete(TENANT, "s")
    room.clock.now = 159.0 if over == "expired" else 149.0
    assert await room.code("s") == f"session_{over}"
    with pytest.raises(Conflict):
        await room.begin("s")
    room.clock.now = 160.0
    assert await room.code("s") == "session_not_found"
    with pytest.raises(NotFound):
        await room.catalog.delete(TENANT, "s")
    first = room.heard.events["create"]
    await room.begin("s")
    assert await room.code("s") == "open"
    assert room.heard.events["create"] == first + 1
    assert room.heard.events["forget"] == 1


@pytest.mark.parametrize("moment", ["due", "get"])
async def test_a_session_that_is_extended_meanwhile_stays(room, moment):
    await room.begin("s", 10)
    room.clock.now = 110.5
    first = await room.store.get(TENANT, "s")
    original = getattr(room.store, moment)

    async def slow(*args):
        found = await original(*args)
        await room.store.commit(make_commit(first))  # at 101, by a replica that began in time
        return found

    setattr(room.store, moment, slow)
    assert await room.sweeper.sweep() == 0
    setattr(room.store, moment, original)
    assert (await room.catalog.get(TENANT, "s")).version == 1
    assert room.heard.events == {"create": 1}


async def test_more_than_a_batch_goes_in_one_sweep_and_not_for_ever(room, monkeypatch):
    monkeypatch.setattr("service.sessions.sweeping.BATCH", 4)
    monkeypatch.setattr("service.sessions.sweeping.BATCHES", 3)
    for number in range(17):
        await room.begin(f"s{number}", 10)
    room.clock.now = 111.0
    assert [await room.sweeper.sweep() for _ in range(3)] == [12, 5, 0]
    assert room.heard.events["expire"] == 17


async def test_two_sweepers_count_each_session_once(room):
    for number in range(20):
        await room.begin(f"s{number}", 10)
    room.clock.now = 111.0
    other = Sweeper(room.store, room.heard, room.clock)
    await asyncio.gather(room.sweeper.sweep(), other.sweep())
    assert room.heard.events["expire"] == 20


async def test_a_store_that_fails_is_swept_the_next_time(room):
    await room.begin("s", 10)
    room.clock.now = 111.0
    due, calls, again = room.store.due, [], asyncio.Event()

    async def moody(now, limit):
        calls.append(now)
        if len(calls) == 5:
            again.set()
        if len(calls) == 1:
            raise Unavailable("store_unavailable", "down")
        if len(calls) == 2:
            raise ZeroDivisionError
        return await due(now, limit)

    room.store.due = moody
    async with room.sweeper.running(0.01):
        await asyncio.wait_for(again.wait(), 60)
    assert room.heard.events["expire"] == 1
    stopped = len(calls)
    await asyncio.sleep(0.05)
    assert len(calls) == stopped
