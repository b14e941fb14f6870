"""Stored states that do not read back: told apart from bad reads, and kept."""

from dataclasses import replace

import numpy as np
import pytest

from service.errors import Conflict, Gone, Unavailable
from service.sessions.catalog import SessionCatalog
from service.sessions.codec import document_vector, encode, state_bytes, unread
from service.sessions.recovery import Expected, Recovery
from service.sessions.stores import MemoryStore
from tests.service.sessions.begun import begin_session
from tests.service.sessions.fakes import (
    INFO,
    SHAPE,
    TENANT,
    WIDTH,
    Listener,
    advance,
    make_chunk,
    make_state,
    ticking,
)


@pytest.fixture
def store():
    return MemoryStore()


@pytest.fixture
def listener():
    return Listener()


@pytest.fixture
def catalog(store, listener):
    return SessionCatalog(store, ticking(), listener)


def broken_states() -> dict[str, bytes]:
    good = encode(make_state())
    flipped = bytearray(good)
    flipped[state_bytes(SHAPE, WIDTH) // 2] ^= 4
    nothing = encode(replace(unread(WIDTH), tokens=5))
    return {"flip": bytes(flipped), "short": good[:-1], "none": b"", "empty memory": nothing}


@pytest.mark.parametrize("kind", broken_states())
async def test_a_state_that_does_not_verify_is_lost_and_kept(catalog, store, listener, kind):
    record = await begin_session(catalog, TENANT, INFO, "s")
    blob = broken_states()[kind]
    moved = await advance(store, record, blob)
    for call in (catalog.document, catalog.document, catalog.get, catalog.complete):
        with pytest.raises(Gone) as caught:
            await call(TENANT, "s")
        assert caught.value.code == "session_lost"
    assert listener.events == {"create": 1, "lost": 1}
    grave, kept = await store.get_with_state(TENANT, "s")
    assert (grave.status, grave.metadata, kept) == ("lost", moved.metadata, blob)
    assert await store.chunks(TENANT, "s", 0, 9) == [make_chunk(0)]
    # Only its owner may give it up, and then nothing is left of it.
    await catalog.delete(TENANT, "s")
    with pytest.raises(Gone) as caught:
        await catalog.delete(TENANT, "s")
    assert caught.value.code == "session_deleted"
    assert (await store.get_with_state(TENANT, "s"))[1] == b""
    assert await store.chunks(TENANT, "s", 0, 9) == []


async def test_one_bad_read_costs_a_second_one_and_no_session(listener):
    class SlippingStore(MemoryStore):
        """Every other read of a state comes back with a flipped bit."""

        reads = 0

        async def get_with_state(self, tenant, session_id):
            row = await super().get_with_state(tenant, session_id)
            assert row is not None
            self.reads += 1
            return (row[0], broken_states()["flip"]) if self.reads % 2 else row

    store = SlippingStore()
    catalog = SessionCatalog(store, observer=listener)
    moved = await advance(store, await begin_session(catalog, TENANT, INFO, "s"))
    for _ in range(3):
        found, vector = await catalog.document(TENANT, "s")
        assert found == moved
        np.testing.assert_array_equal(vector, document_vector(make_state().document))
    assert store.reads == 6
    assert listener.events == {"create": 1}


async def test_a_bad_read_of_one_version_says_nothing_of_the_next(listener):
    class BusyStore(MemoryStore):
        """Whatever is read is broken, and another owner commits after every read."""

        async def get_with_state(self, tenant, session_id):
            row = await super().get_with_state(tenant, session_id)
            assert row is not None
            await advance(self, row[0], b"broken")
            return row

    store = BusyStore()
    catalog = SessionCatalog(store, observer=listener)
    await advance(store, await begin_session(catalog, TENANT, INFO, "s"), b"broken")
    with pytest.raises(Conflict) as caught:
        await catalog.document(TENANT, "s")
    assert caught.value.code == "request_in_progress"
    assert (await catalog.get(TENANT, "s")).status == "open"
    assert "lost" not in listener.events


async def test_state_and_record_must_agree_on_the_tokens(catalog, store):
    record = await begin_session(catalog, TENANT, INFO, "s")
    await advance(store, record, tokens=6)
    with pytest.raises(Gone):
        await catalog.document(TENANT, "s")


async def test_a_session_that_moved_on_is_not_buried_for_its_old_state(listener):
    class HealingStore(MemoryStore):
        """Another owner commits a sound state right after the broken one was read again."""

        reads = 0

        async def get_with_state(self, tenant, session_id):
            row = await super().get_with_state(tenant, session_id)
            self.reads += 1
            if row is not None and self.reads == 2:
                await advance(self, row[0], encode(replace(make_state(), tokens=10)))
            return row

    store = HealingStore()
    catalog = SessionCatalog(store, observer=listener)
    record = await begin_session(catalog, TENANT, INFO, "s")
    await advance(store, record, b"broken")
    found, _ = await catalog.document(TENANT, "s")
    assert (found.version, found.status) == (2, "open")
    assert "lost" not in listener.events


async def test_a_state_of_a_newer_release_is_kept(catalog, store, monkeypatch):
    record = await begin_session(catalog, TENANT, INFO, "s")
    with monkeypatch.context() as patch:
        patch.setattr("service.sessions.codec._VERSION", 3)
        newer = encode(make_state())
    await advance(store, record, newer)
    with pytest.raises(Unavailable, match="another release"):
        await catalog.document(TENANT, "s")
    assert (await catalog.get(TENANT, "s")).status == "open"


async def test_only_the_model_that_began_a_session_says_what_its_memory_is_like(
    catalog, store, listener
):
    moved = await advance(store, await begin_session(catalog, TENANT, INFO, "s"))
    recovery = Recovery(store, ticking(), listener)
    others = Expected("e" * 64, {"another": (7,)})
    found, state = await recovery.load(TENANT, "s", others)
    assert (found, state.shape) == (moved, SHAPE)
    assert (await recovery.load(TENANT, "s", Expected(INFO.fingerprint, SHAPE)))[0] == moved
    with pytest.raises(Gone) as caught:
        await recovery.load(TENANT, "s", replace(others, fingerprint=INFO.fingerprint))
    assert caught.value.code == "session_lost"
