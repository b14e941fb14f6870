import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from service.errors import (
    BadRequest,
    Conflict,
    Gone,
    NotFound,
    PreconditionFailed,
    Unprocessable,
)
from service.sessions.catalog import SessionCatalog
from service.sessions.codec import document_vector
from service.sessions.stores import MemoryStore
from tests.service.sessions.begun import begin_session
from tests.service.sessions.fakes import (
    INFO,
    TENANT,
    WIDTH,
    Listener,
    advance,
    make_state,
    ticking,
)

ROOT = Path(__file__).parents[3]


@pytest.fixture
def store():
    return MemoryStore()


@pytest.fixture
def listener():
    return Listener()


@pytest.fixture
def catalog(store, listener):
    return SessionCatalog(store, ticking(), listener)


async def test_create_gives_a_random_id_and_get_finds_it(catalog, listener):
    one = await begin_session(catalog, TENANT, INFO, metadata='{"a":1}')
    two = await begin_session(catalog, TENANT, INFO)
    assert one.id.startswith("sess_")
    assert len(one.id) == len("sess_") + 22  # 128 bits
    assert len({one.id, two.id, one.incarnation, two.incarnation}) == 4
    assert (one.model, one.fingerprint, one.metadata) == ("fake", INFO.fingerprint, '{"a":1}')
    assert (one.next_seq, one.tokens, one.version, one.created_at) == (0, 0, 0, 1001.0)
    assert await catalog.get(TENANT, one.id) == one
    assert listener.events == {"create": 2}


async def test_an_id_is_used_once_even_after_deletion(catalog, listener):
    first = await begin_session(catalog, TENANT, INFO, "mine")
    for _ in range(2):
        with pytest.raises(Conflict) as caught:
            await begin_session(catalog, TENANT, INFO, "mine")
        assert caught.value.code == "session_exists"
        if (await catalog.list(TENANT, None, 9)) == [first]:
            await catalog.delete(TENANT, "mine")
    assert (await begin_session(catalog, "tenant-b", INFO, "mine")).id == "mine"
    assert listener.events == {"create": 2, "delete": 1}


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        ".a",
        "a/b",
        "a b",
        "ü",
        "a\n",
        "a\0",
        "\ud800",
        "a" * 129,
        "%2e",
        "a.b",
        "a~b",
        "a:b",
        "a@b",
    ],
)
async def test_impossible_ids(catalog, name):
    with pytest.raises(BadRequest):
        await begin_session(catalog, TENANT, INFO, name)
    for call in (catalog.get, catalog.document, catalog.delete):
        with pytest.raises(NotFound):
            await call(TENANT, name)


@pytest.mark.parametrize("name", ["a", "A-b_c", "-", "_", "0", "a" * 128])
async def test_possible_ids(catalog, name):
    assert (await begin_session(catalog, TENANT, INFO, name)).id == name
    assert (await catalog.get(TENANT, name)).id == name


async def test_a_model_without_memory_has_no_sessions(catalog, listener):
    with pytest.raises(Unprocessable) as caught:
        await begin_session(catalog, TENANT, replace(INFO, memory_bytes=0))
    assert caught.value.code == "model_has_no_memory"
    assert not listener.events


async def test_another_tenants_session_is_as_unknown_as_none(catalog):
    await begin_session(catalog, TENANT, INFO, "mine")
    for call in (catalog.get, catalog.document, catalog.delete):
        answers = []
        for name in ("mine", "none"):
            with pytest.raises(NotFound) as caught:
                await call("tenant-b", name)
            answers.append((caught.value.code, caught.value.detail.replace(name, "")))
        assert answers[0] == answers[1]
    assert (await catalog.get(TENANT, "mine")).status == "open"


async def test_deleting(catalog):
    await begin_session(catalog, TENANT, INFO, "s")
    await catalog.delete(TENANT, "s")
    for call in (catalog.delete, catalog.get, catalog.document):
        with pytest.raises(Gone) as caught:
            await call(TENANT, "s")
        assert caught.value.code == "session_deleted"
    assert await catalog.list(TENANT, None, 9) == []


async def test_deleting_on_condition(catalog, store):
    record = await begin_session(catalog, TENANT, INFO, "s")
    moved = await advance(store, record)
    with pytest.raises(PreconditionFailed) as caught:
        await catalog.delete(TENANT, "s", if_match=(record.etag,))
    assert caught.value.extras == {"etag": moved.etag}
    await catalog.delete(TENANT, "s", if_match=(record.etag, moved.etag))
    with pytest.raises(Gone):
        await catalog.get(TENANT, "s")


async def test_a_conditional_delete_cannot_hit_a_session_that_moved_on(listener):
    class MovingStore(MemoryStore):
        async def get(self, tenant, session_id):
            record = await super().get(tenant, session_id)
            if record is not None and record.version == 0:
                await advance(self, record)
            return record

    store = MovingStore()
    catalog = SessionCatalog(store, observer=listener)
    record = await begin_session(catalog, TENANT, INFO, "s")
    with pytest.raises(PreconditionFailed):
        await catalog.delete(TENANT, "s", if_match=(record.etag,))
    assert listener.events == {"create": 1}
    await catalog.delete(TENANT, "s")


async def test_the_document_vector_begins_as_zeros_and_follows_the_state(catalog, store):
    record = await begin_session(catalog, TENANT, INFO, "s")
    found, vector = await catalog.document(TENANT, "s")
    assert (found, vector.dtype, vector.tolist()) == (record, np.float32, [0.0] * WIDTH)
    moved = await advance(store, record)
    found, vector = await catalog.document(TENANT, "s")
    assert found == moved
    np.testing.assert_array_equal(vector, document_vector(make_state().document))


async def test_listing_pages(catalog):
    for name in "cab":
        await begin_session(catalog, TENANT, INFO, name)
    first = await catalog.list(TENANT, None, 2)
    rest = await catalog.list(TENANT, first[-1].id, 2)
    assert [record.id for record in (*first, *rest)] == ["a", "b", "c"]


def test_the_control_plane_needs_no_torch():
    code = (
        "import json, sys, service.sessions.catalog, service.sessions.stores\n"
        "print(json.dumps(sorted(set(sys.modules) & {'torch', 'models.memory', 'ray'})))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=True, timeout=60
    )
    assert json.loads(done.stdout) == []
