"""What belongs to another tenant is what never was: every session route, byte for byte."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute

from service.api.app import _ROUTERS, create_app
from service.sessions.catalog import SessionCatalog
from service.sessions.copies import SessionCopies
from service.sessions.session_file import MEDIA_TYPE
from service.sessions.stores import MemoryStore
from tests.service.api.keys import Keys, bearer
from tests.service.api.kit import PLAIN, Api, assert_problem

THEIRS = "their-session-0001"
NEVER = "never-session-0001"
EMBED = {"content-type": "application/json"}

OPERATIONS: dict[tuple[str, str], list[dict[str, Any]]] = {
    ("GET", ""): [{}],
    ("HEAD", ""): [{}],
    ("DELETE", ""): [{}, {"headers": {"if-match": '"x.0"'}}, {"headers": {"if-match": "*"}}],
    ("GET", "/embedding"): [{}, {"params": {"encoding_format": "base64"}}],
    ("POST", "/chunks"): [
        {"json": {"chunks": ["a"]}},
        {"json": {"chunks": ["a"], "first_seq": 0, "return": ["embedding", "document"]}},
        {"json": {"chunks": ["a"], "first_seq": 7}},
        {"json": {"chunks": ["a"]}, "headers": {"idempotency-key": "k", "if-match": "*"}},
    ],
    ("POST", "/stream"): [
        {"content": b"Some text. And more of it.", "headers": PLAIN},
        {"content": b"", "headers": PLAIN},
        {"content": b"x", "headers": PLAIN, "params": {"first_seq": 3}},
    ],
    ("POST", "/query"): [{"json": {"texts": ["who?"]}}],
    ("POST", "/complete"): [
        {},
        {"json": {}},
        {"json": {"revisit": True, "first_seq": 0, "chunks": ["a"]}},
        {"headers": {"if-match": "*"}},
    ],
    ("POST", "/fork"): [
        {},
        {"json": {"id": "mine", "at_seq": 0}},
        {"json": {"at_seq": 7}},
        {"headers": {"idempotency-key": "k"}},
        {"headers": {"if-match": '"x.0"'}},
    ],
    ("GET", "/export"): [{}, {"params": {"answers": "false"}}],
    ("GET", "/memory"): [{}],
}
CASES = [(*operation, call) for operation, calls in OPERATIONS.items() for call in calls]


@dataclass
class Two:
    """One API, two tenants, and a session of the first."""

    client: httpx.AsyncClient
    api: Api
    theirs: dict[str, str]
    mine: dict[str, str]

    async def ask(self, method: str, session: str, rest: str, call: dict[str, Any]) -> Any:
        headers = {**self.mine, **call.get("headers", {})}
        path = f"/v1/sessions/{session}{rest}"
        return await self.client.request(method, path, **{**call, "headers": headers})


@pytest.fixture
async def two(tmp_path: Path) -> AsyncIterator[Two]:
    keys = Keys(tmp_path)
    theirs, mine = bearer(keys.add("acme")), bearer(keys.add("zeta"))
    api = Api()
    async with MemoryStore() as store:
        services = replace(
            api.services,
            catalog=SessionCatalog(store),
            copies=SessionCopies(store, api.limits.import_bytes),
            door=keys.door(),
        )
        api.app = create_app(services)
        async with api.client() as client:
            body = {"model": "infini", "id": THEIRS}
            made = await client.post("/v1/sessions", json=body, headers=theirs)
            assert made.status_code == 201
            yield Two(client, api, theirs, mine)


def test_no_session_route_is_left_out():
    routes = {
        (method, route.path.removeprefix("/v1/sessions/{session_id}"))
        for router in _ROUTERS
        for route in router.routes
        if isinstance(route, APIRoute) and "{session_id}" in route.path
        for method in route.methods or ()
    }
    assert routes == set(OPERATIONS)


def _without_ids(answer: httpx.Response) -> tuple[int, str, dict[str, str]]:
    passing = {"x-request-id", "server-timing"}
    headers = {name: value for name, value in answer.headers.items() if name not in passing}
    body = re.sub(r'"request_id":"\w+"', '"request_id":"-"', answer.text)
    return answer.status_code, body.replace(THEIRS, "ID").replace(NEVER, "ID"), headers


@pytest.mark.parametrize(("method", "rest", "call"), CASES)
async def test_another_tenants_session_never_was(two: Two, method, rest, call):
    foreign = await two.ask(method, THEIRS, rest, call)
    unknown = await two.ask(method, NEVER, rest, call)
    assert _without_ids(foreign) == _without_ids(unknown)
    assert foreign.status_code == 404
    if method != "HEAD":
        assert_problem(foreign, 404, "session_not_found")
    owner = await two.client.get(f"/v1/sessions/{THEIRS}", headers=two.theirs)
    assert (owner.status_code, owner.json()["next_seq"]) == (200, 0)
    assert owner.json()["completed"] is False


async def test_a_deleted_session_of_another_tenant_never_was_either(two: Two):
    path = f"/v1/sessions/{THEIRS}"
    await two.client.delete(path, headers=two.theirs)
    assert (await two.client.get(path, headers=two.theirs)).status_code == 410
    assert (await two.client.get(path, headers=two.mine)).status_code == 404


async def test_an_id_is_taken_by_its_tenant_only(two: Two):
    body = {"model": "infini", "id": THEIRS}
    made = await two.client.post("/v1/sessions", json=body, headers=two.mine)
    assert made.status_code == 201
    chunks = f"/v1/sessions/{THEIRS}/chunks"
    for headers, text in ((two.theirs, "of acme"), (two.mine, "of zeta")):
        await two.client.post(chunks, json={"chunks": [text]}, headers=headers)
    assert two.api.infini.session("acme", THEIRS).texts == ["of acme"]
    assert two.api.infini.session("zeta", THEIRS).texts == ["of zeta"]
    await two.client.delete(f"/v1/sessions/{THEIRS}", headers=two.mine)
    owner = await two.client.get(f"/v1/sessions/{THEIRS}", headers=two.theirs)
    assert owner.status_code == 200


async def test_a_list_has_the_callers_own_only(two: Two):
    body = {"model": "infini", "id": "mine"}
    await two.client.post("/v1/sessions", json=body, headers=two.mine)
    for headers, ids in ((two.theirs, [THEIRS]), (two.mine, ["mine"])):
        listed = (await two.client.get("/v1/sessions", headers=headers)).json()
        assert [session["id"] for session in listed["data"]] == ids


async def test_a_copy_is_of_the_tenant_that_made_it(two: Two):
    path = f"/v1/sessions/{THEIRS}"
    file = (await two.client.get(f"{path}/export", headers=two.theirs)).content
    for tenant in (two.theirs, two.mine):
        made = await two.client.post(
            "/v1/sessions/import?id=copy",
            content=file,
            headers={**tenant, "content-type": MEDIA_TYPE},
        )
        assert made.status_code == 201
    forked = await two.client.post(f"{path}/fork", json={"id": "fork"}, headers=two.theirs)
    assert forked.status_code == 201
    for headers, ids in ((two.theirs, ["copy", "fork", THEIRS]), (two.mine, ["copy"])):
        listed = (await two.client.get("/v1/sessions", headers=headers)).json()
        assert [session["id"] for session in listed["data"]] == ids


async def test_a_request_key_is_of_its_tenant(two: Two):
    begun = []
    for tenant in (two.theirs, two.mine, two.theirs):
        made = await two.client.post(
            "/v1/sessions", json={"model": "infini"}, headers={**tenant, "idempotency-key": "k"}
        )
        assert made.status_code == 201
        begun.append((made.json()["id"], made.json()["replayed"]))
    (first, _), (second, replayed), again = begun
    assert (first != second, replayed, again) == (True, False, (first, True))


async def test_a_state_token_of_another_tenant_is_like_one_that_never_was(two: Two):
    body = {"model": "infini", "stateless": True}
    made = await two.client.post("/v1/sessions", json=body, headers=two.theirs)
    token = made.json()["state_token"]
    forged = token[:-4] + ("AAAA" if token[-4:] != "AAAA" else "BBBB")
    answers = [
        await two.client.post(
            "/v1/sessions/stateless",
            json={"state_token": shown, "chunks": ["a"]},
            headers=two.mine,
        )
        for shown in (token, forged)
    ]
    assert _without_ids(answers[0]) == _without_ids(answers[1])
    assert_problem(answers[0], 422, "invalid_state_token")
    own = await two.client.post(
        "/v1/sessions/stateless",
        json={"state_token": token, "chunks": ["a"]},
        headers=two.theirs,
    )
    assert own.status_code == 200
