"""Beginning a session once, however often it is asked for."""

import asyncio

import pytest

from service.errors import BadRequest, Conflict, Gone, NotFound, Unprocessable
from service.sessions.beginnings import (
    Beginnings,
    RequestKey,
    Wish,
    blank_record,
    request_digest,
)
from service.sessions.catalog import SessionCatalog
from service.sessions.changes import tombstone
from service.sessions.origins import Beginning, SessionTraits
from service.sessions.stores import MemoryStore
from tests.service.sessions.fakes import INFO, TENANT, Listener, make_record, ticking
from tests.service.sessions.made import create

KEY = RequestKey("k", request_digest("create", {"a": 1, "b": 2}))
OTHER = RequestKey("k", request_digest("create", {"a": 1, "b": 3}))
INDEXED = SessionTraits(indexed=True)


@pytest.fixture
def store():
    return MemoryStore()


@pytest.fixture
def listener():
    return Listener()


@pytest.fixture
def catalog(store, listener):
    return SessionCatalog(store, ticking(), listener)


def test_a_digest_is_of_what_a_request_says_and_not_of_how():
    assert request_digest("create", {"b": 2, "a": 1}) == KEY.digest
    different = [
        KEY.digest,
        request_digest("fork s", {"a": 1, "b": 2}),
        request_digest("create", {"a": 1}),
        request_digest("create", b"{}"),
    ]
    assert len(set(different)) == 4


async def test_a_key_begins_one_session(catalog, listener):
    first = await catalog.begin(TENANT, INFO, Wish(request=KEY, metadata='{"t":1}'), INDEXED)
    again = await catalog.begin(TENANT, INFO, Wish(request=KEY))
    assert (first.replayed, again.replayed) == (False, True)
    assert (again.record, again.traits) == (first.record, INDEXED)
    assert listener.events == {"create": 1}
    other = await catalog.begin("tenant-b", INFO, Wish(request=OTHER))
    assert not other.replayed
    assert await catalog.traits(TENANT, [first.record.id]) == {first.record.id: INDEXED}


async def test_a_key_of_another_request_is_refused(catalog):
    await catalog.begin(TENANT, INFO, Wish(request=KEY))
    with pytest.raises(Unprocessable) as caught:
        await catalog.begin(TENANT, INFO, Wish(request=OTHER))
    assert (caught.value.code, caught.value.param) == ("idempotency_key_reused", "Idempotency-Key")


@pytest.mark.parametrize(
    ("status", "code"),
    [("deleted", "session_deleted"), ("lost", "session_lost"), ("expired", "session_expired")],
)
async def test_a_key_whose_session_is_over_begins_no_other(catalog, store, status, code):
    begun = await catalog.begin(TENANT, INFO, Wish("s", request=KEY))
    await store.bury(tombstone(begun.record, status, 9.0))
    with pytest.raises(Gone) as caught:
        await catalog.begin(TENANT, INFO, Wish("s", request=KEY))
    assert caught.value.code == code


async def test_a_replay_comes_before_what_it_would_fail(catalog):
    begun = await catalog.begin(TENANT, INFO, Wish("s", request=KEY))
    assert (await catalog.begin(TENANT, INFO, Wish("s", request=KEY))).record == begun.record
    with pytest.raises(Conflict) as caught:
        await catalog.begin(TENANT, INFO, Wish("s"))
    assert caught.value.code == "session_exists"


async def test_requests_with_one_key_at_once_begin_one_session(catalog, listener):
    wishes = [Wish(request=KEY) for _ in range(8)]
    begun = await asyncio.gather(*(catalog.begin(TENANT, INFO, wish) for wish in wishes))
    assert len({each.record.id for each in begun}) == 1
    assert sorted(each.replayed for each in begun) == [False] + [True] * 7
    assert listener.events == {"create": 1}


class LateKey(MemoryStore):
    """A store that hears of the other request between look and write."""

    async def request(self, tenant, key):
        found = await super().request(tenant, key)
        if found is None and not self._sessions:
            other = blank_record(TENANT, "fake", "f", Wish("first"), 1.0)
            await Beginnings(self, Listener()).begin(Beginning(other, b""), KEY, "create")
        return found


async def test_who_is_second_is_told_of_the_first():
    begun = await SessionCatalog(LateKey(), ticking()).begin(TENANT, INFO, Wish(request=KEY))
    assert (begun.record.id, begun.replayed) == ("first", True)
    with pytest.raises(Unprocessable):
        await SessionCatalog(LateKey(), ticking()).begin(TENANT, INFO, Wish(request=OTHER))


async def test_a_source_that_is_gone_is_said_so(store, listener):
    beginnings = Beginnings(store, listener, ticking())
    parent = make_record()
    beginning = Beginning(make_record("fork"), b"", source=parent)
    with pytest.raises(NotFound):
        await beginnings.begin(beginning, None, "fork")
    await create(store, parent, b"")
    await store.bury(tombstone(parent, "deleted", 9.0))
    with pytest.raises(Gone):
        await beginnings.begin(beginning, None, "fork")
    assert listener.events == {}


async def test_a_source_that_is_another_one_now_is_a_conflict(store, listener):
    await create(store, make_record(incarnation="i2"), b"")
    with pytest.raises(Conflict) as caught:
        await Beginnings(store, listener, ticking()).begin(
            Beginning(make_record("fork"), b"", source=make_record()), None, "fork"
        )
    assert caught.value.code == "request_in_progress"


@pytest.mark.parametrize("name", ["", "a b", "ü", "x" * 129, "a\n", "../a"])
def test_an_id_has_the_letters_of_one(name):
    with pytest.raises(BadRequest):
        blank_record(TENANT, "m", "f", Wish(name), 1.0)
