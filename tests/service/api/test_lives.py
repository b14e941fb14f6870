"""Sessions whose time is over, or whose rows do not verify, on every route that names one; only the model is a fake."""

from typing import Any

import httpx
import pytest

from service.access import Meters
from service.access.caller import DEFAULT_TENANT
from service.config_access import RateLimits
from service.errors import OutOfStorage
from service.sessions.changes import tombstone
from service.sessions.lifetimes import Lifetimes
from service.sessions.stores import MemoryStore
from tests.service.api.keys import Keys, bearer
from tests.service.api.kit import assert_problem
from tests.service.api.reading_kit import CHUNKS, FILE, ReadingApi, append, begin
from tests.service.sessions.fakes import INFO
from tests.service.sessions.watching import Clock

LIVES = Lifetimes(max_age_seconds=1000.0, tombstone_seconds=50.0)
KEY = {"idempotency-key": "k"}
CALLS: list[tuple[str, str, dict[str, Any]]] = [
    ("GET", "", {}),
    ("HEAD", "", {}),
    ("POST", "/chunks", {"json": {"chunks": ["more"]}}),
    ("POST", "/chunks", {"json": {"chunks": CHUNKS[:1], "first_seq": 0}}),
    ("POST", "/stream", {"content": b"more", "headers": {"content-type": "text/plain"}}),
    ("GET", "/embedding", {}),
    ("POST", "/fork", {"json": {}}),
    ("POST", "/fork", {"json": {"at_seq": 2}, "headers": {"if-match": '"other"'}}),
    ("GET", "/export", {}),
    ("POST", "/complete", {}),
    ("POST", "/complete", {"headers": {"if-match": '"other"'}}),
]
DELETE: tuple[str, str, dict[str, Any]] = ("DELETE", "", {})


@pytest.fixture
def clock() -> Clock:
    return Clock(100.0)


@pytest.fixture
def api(clock) -> ReadingApi:
    return ReadingApi(clock=clock, lifetimes=LIVES)


async def call(client: httpx.AsyncClient, method: str, path: str, options: dict[str, Any]):
    return await client.request(method, f"/v1/sessions/s{path}", **options)


def assert_said(answer: httpx.Response, status: int, code: str) -> None:
    if answer.request.method == "HEAD":
        assert (answer.status_code, answer.content) == (status, b"")
    else:
        assert_problem(answer, status, code)


@pytest.mark.parametrize(("method", "path", "options"), [*CALLS, DELETE])
async def test_what_has_expired_is_gone_and_then_was_never_there(
    client, clock, method, path, options
):
    session = await begin(client, ttl_seconds=10)
    assert (session["ttl_seconds"], session["expires_at"]) == (10, 110.0)
    await append(client, "s", *CHUNKS)
    clock.now = 109.0
    assert (await client.get("/v1/sessions/s")).status_code == 200
    clock.now = 110.0
    assert_said(await call(client, method, path, options), 410, "session_expired")
    clock.now = 159.0
    assert_said(await call(client, method, path, options), 410, "session_expired")
    clock.now = 160.0
    assert_said(await call(client, method, path, options), 404, "session_not_found")


@pytest.mark.parametrize(("method", "path", "options"), CALLS)
async def test_what_is_lost_is_gone_until_it_is_deleted(client, api, method, path, options):
    await begin(client)
    await append(client, "s", *CHUNKS)
    record = await api.services.catalog.get(DEFAULT_TENANT, "s")
    assert await api.store.bury(tombstone(record, "lost", 100.0))
    assert_said(await call(client, method, path, options), 410, "session_lost")
    assert (await call(client, *DELETE)).status_code == 204
    assert_said(await call(client, method, path, options), 410, "session_deleted")


async def test_a_fork_has_a_life_of_its_own_as_long_as_its_parents(client, clock):
    await begin(client, ttl_seconds=20)
    await append(client, "s", *CHUNKS)
    clock.now = 115.0
    forks = {}
    for name, wish in (("same", {}), ("short", {"ttl_seconds": 5})):
        answer = await client.post("/v1/sessions/s/fork", json={"id": name, **wish})
        assert answer.status_code == 201, answer.text
        forks[name] = (answer.json()["ttl_seconds"], answer.json()["expires_at"])
    assert forks == {"same": (20, 135.0), "short": (5, 120.0)}
    clock.now = 130.0
    assert_problem(await client.get("/v1/sessions/s"), 410, "session_expired")
    assert (await append(client, "same", "five", first=4))[0]["replayed"] is False
    assert (await client.get("/v1/sessions/same")).json()["expires_at"] == 150.0


async def test_an_import_lives_as_it_is_told_and_not_as_what_was_exported(client):
    await begin(client, ttl_seconds=20)
    file = (await client.get("/v1/sessions/s/export")).content
    found = []
    for query in ("", "?ttl_seconds=30&id=mortal"):
        answer = await client.post(f"/v1/sessions/import{query}", content=file, headers=FILE)
        assert answer.status_code == 201, answer.text
        found.append((answer.json()["ttl_seconds"], answer.json()["expires_at"]))
    assert found == [(None, 1100.0), (30, 130.0)]
    zero = await client.post("/v1/sessions/import?ttl_seconds=0", content=file, headers=FILE)
    assert_problem(zero, 422, "validation_error")


async def test_nobody_is_given_a_longer_life_than_there_are(client):
    await begin(client)
    file = (await client.get("/v1/sessions/s/export")).content
    long = {"ttl_seconds": 1001}
    for refused in (
        await client.post("/v1/sessions", json={"model": INFO.id, **long}),
        await client.post("/v1/sessions/s/fork", json=long),
        await client.post("/v1/sessions/import?ttl_seconds=1001", content=file, headers=FILE),
    ):
        assert assert_problem(refused, 422, "validation_error")["max_ttl_seconds"] == 1000.0
    assert len((await client.get("/v1/sessions")).json()["data"]) == 1


async def test_what_is_stored_nowhere_has_no_time_to_live(client):
    body = {"model": INFO.id, "stateless": True, "ttl_seconds": 5}
    problem = assert_problem(await client.post("/v1/sessions", json=body), 422, "validation_error")
    assert "ttl_seconds" in problem["detail"]


async def test_a_request_is_remembered_as_long_as_what_it_began(
    client: httpx.AsyncClient, clock: Clock
) -> None:
    async def sent() -> httpx.Response:
        body = {"model": INFO.id, "ttl_seconds": 10}
        return await client.post("/v1/sessions", json=body, headers=KEY)

    first = (await sent()).json()
    assert (await sent()).json() == {**first, "replayed": True}
    clock.now = 159.0
    assert_problem(await sent(), 410, "session_expired")
    clock.now = 160.0
    second = (await sent()).json()
    assert second["replayed"] is False
    assert second["id"] != first["id"]


@pytest.mark.parametrize("how", ["create", "fork", "import"])
async def test_an_id_is_free_once_its_session_is_forgotten(client, clock, how):
    await begin(client)
    file = (await client.get("/v1/sessions/s/export")).content
    await begin(client, "old", ttl_seconds=10)
    for now, status in ((159.0, 409), (160.0, 201)):
        clock.now = now
        answer = {
            "create": lambda: client.post("/v1/sessions", json={"model": INFO.id, "id": "old"}),
            "fork": lambda: client.post("/v1/sessions/s/fork", json={"id": "old"}),
            "import": lambda: client.post("/v1/sessions/import?id=old", content=file, headers=FILE),
        }[how]()
        assert (await answer).status_code == status


async def test_what_has_expired_takes_no_place(tmp_path, clock):
    keys = Keys(tmp_path)
    key = keys.add("acme", RateLimits(open_sessions=1))
    door = keys.door()
    door.meters = Meters(clock)
    async with ReadingApi(clock=clock, lifetimes=LIVES, door=door).client() as client:
        client.headers.update(bearer(key))
        await begin(client, ttl_seconds=10)
        body = {"model": INFO.id}
        assert_problem(await client.post("/v1/sessions", json=body), 429, "rate_limited")
        clock.now = 110.0
        assert (await client.post("/v1/sessions", json=body)).status_code == 201


class Full(MemoryStore):
    """Has room for one session."""

    async def begin(self, beginning):
        if self._sessions:
            raise OutOfStorage("out_of_storage", "full; nothing was stored")
        return await super().begin(beginning)


async def test_a_full_store_begins_nothing_and_says_so():
    async with ReadingApi(Full()).client() as client:
        await begin(client)
        file = (await client.get("/v1/sessions/s/export")).content
        for refused in (
            await client.post("/v1/sessions", json={"model": INFO.id}, headers=KEY),
            await client.post("/v1/sessions/s/fork", json={}),
            await client.post("/v1/sessions/import", content=file, headers=FILE),
        ):
            assert_problem(refused, 507, "out_of_storage")
