"""Any flipped bit of any stored row is found, and its session is lost: told so, kept, and erasable."""

import sqlite3
from contextlib import closing
from dataclasses import replace

import pytest
import redis

from service.errors import Gone
from service.sessions.origins import Beginning, BeginOutcome, RequestRecord, SessionTraits
from service.sessions.stores import CorruptRow, MemoryStore, open_store
from service.sessions.stores.checksum import Value, checksum, mirrored, name_digest
from service.sessions.stores.redis_rows import requests_key
from service.sessions.stores.verified import VerifiedStore
from tests.service.sessions.made import TENANT, create, make_commit, make_record
from tests.service.sessions.stores.flip_targets import TABLES
from tests.service.sessions.stores.flips import flip_redis, flip_sqlite
from tests.service.sessions.watching import Clock, Heard

FLIPS = 150


async def test_every_flipped_bit_of_an_sqlite_row_is_found(tmp_path):
    found = await flip_sqlite(tmp_path, FLIPS, seed=7)
    assert {what.partition(".")[0] for what in found} == set(TABLES)
    assert found.total() == FLIPS


async def test_every_flipped_bit_of_a_redis_value_is_found(tmp_path, redis_server):
    found = await flip_redis(redis_server, tmp_path, FLIPS, seed=7)
    assert {"record.data", "state", "chunk", "chunk.score", "key", "key.name"} <= set(found)
    assert found.total() == FLIPS


def test_a_checksum_tells_values_types_and_lengths_apart():
    rows: list[tuple[Value, ...]] = [
        ("a", "bc"),
        ("ab", "c"),
        (b"a", "bc"),
        ("abc",),
        (1,),
        (1.0,),
        ("1",),
        (None,),
        (True,),
    ]
    assert len({checksum(*row) for row in rows}) == len(rows)
    assert checksum(-0.0) != checksum(0.0)
    assert checksum("\udcff") != checksum("\udcfe")
    assert 0 <= checksum("x") < 2**32


def test_second_names_are_never_anybody_elses():
    assert name_digest("ab", "c") != name_digest("a", "bc")
    assert len(name_digest("t", "s")) == 16
    assert mirrored("k") != "k"


class Slipping(MemoryStore):
    """Reads fail to verify as often as it is told."""

    slips = 0

    async def get(self, tenant, session_id):
        self._slip()
        return await super().get(tenant, session_id)

    async def chunks(self, tenant, session_id, first_seq, limit):
        self._slip()
        return await super().chunks(tenant, session_id, first_seq, limit)

    async def traits(self, tenant, session_ids):
        if "s" in session_ids:
            self._slip()
        return await super().traits(tenant, session_ids)

    async def request(self, tenant, key):
        self._slip()
        return await super().request(tenant, key)

    async def begin(self, beginning: Beginning) -> BeginOutcome:
        if beginning.source is not None:
            self._slip()
        return await super().begin(beginning)

    def _slip(self) -> None:
        if self.slips:
            self.slips -= 1
            raise CorruptRow("session")


async def test_one_bad_read_costs_a_second_one_and_no_session():
    heard, inner = Heard(), Slipping()
    store = VerifiedStore(inner, Clock(9.0), heard)
    record = make_record()
    await create(store, record, b"state")
    inner.slips = 1
    assert await store.get(TENANT, "s") == record
    assert heard.events == {}


async def test_a_broken_chunk_loses_its_session_at_whatever_version_it_is():
    heard, inner = Heard(), Slipping()
    store = VerifiedStore(inner, Clock(9.0), heard)
    record = make_record()
    await create(store, record, b"state")
    await store.commit(make_commit(record))
    inner.slips = 2
    with pytest.raises(Gone, match="delete this one") as caught:
        await store.chunks(TENANT, "s", 0, 9)
    assert caught.value.code == "session_lost"
    found = await store.get(TENANT, "s")
    assert found is not None
    assert found.status == "lost"
    assert heard.events == {"lost": 1}


@pytest.fixture
async def slipping() -> Slipping:
    inner = Slipping()
    for name in "st":
        beginning = Beginning(make_record(name), b"state", SessionTraits(indexed=True))
        assert await inner.begin(beginning) == "begun"
    return inner


async def test_broken_traits_lose_their_session_and_leave_the_others_of_a_page(slipping):
    heard = Heard()
    store = VerifiedStore(slipping, Clock(9.0), heard)
    slipping.slips = 1
    assert len(await store.traits(TENANT, ["s", "t"])) == 2
    slipping.slips = 3
    assert await store.traits(TENANT, ["s", "t"]) == {"t": SessionTraits(indexed=True)}
    assert heard.events == {"lost": 1}
    assert await store.list(TENANT, None, 9) == [make_record("t")]
    slipping.slips = 2
    with pytest.raises(Gone):
        await store.traits(TENANT, ["s"])


async def test_a_broken_source_is_lost_and_begins_nothing(slipping):
    heard = Heard()
    store = VerifiedStore(slipping, Clock(9.0), heard)
    slipping.slips = 1
    with pytest.raises(Gone, match="session s did not verify"):
        await store.begin(Beginning(make_record("fork"), b"", source=make_record("s")))
    assert heard.events == {"lost": 1}
    found = await store.get(TENANT, "s")
    assert found is not None
    assert found.status == "lost"
    assert await store.get(TENANT, "fork") is None


async def test_a_request_that_cannot_be_told_is_said_so(slipping):
    store = VerifiedStore(slipping, Clock(9.0), Heard())
    slipping.slips = 1
    with pytest.raises(Gone, match="use another key") as caught:
        await store.request(TENANT, "k")
    assert caught.value.code == "session_lost"


@pytest.mark.parametrize("backend", ["sqlite", "redis"])
@pytest.mark.parametrize("broken", [1, 2])
async def test_one_name_of_a_request_is_enough(request, tmp_path, backend, broken):
    spec = str(tmp_path / "s.db") if backend == "sqlite" else request.getfixturevalue("redis_url")
    kept = RequestRecord("k", b"r" * 32, "s")
    async with open_store(f"sqlite:{spec}" if backend == "sqlite" else spec, tmp_path) as store:
        await store.begin(Beginning(make_record(), b"", request=kept))
        names = ("k", mirrored("k"))[:broken]
        if backend == "sqlite":
            with closing(sqlite3.connect(spec)) as database:
                for name in names:
                    database.execute("UPDATE requests SET id = 'x' WHERE key = ?", (name,))
                database.commit()
        else:
            with redis.Redis.from_url(spec) as client:
                for name in names:
                    client.hset(requests_key(TENANT), name, b"broken")
        if broken == 1:
            assert await store.request(TENANT, "k") == kept
        else:
            with pytest.raises(CorruptRow):
                await store.request(TENANT, "k")
        again = Beginning(make_record("t"), b"", request=replace(kept, session_id="t"))
        assert await store.begin(again) == "key_taken"
