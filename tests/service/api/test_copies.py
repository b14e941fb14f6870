"""Forks, files and repeated requests over HTTP; only the model is a fake."""

import json
import struct
from typing import Any

import httpx
import pytest

from service.config import LimitsConfig
from service.sessions.session_file import MEDIA_TYPE
from tests.service.api.kit import assert_problem
from tests.service.api.reading_kit import CHUNKS, FILE, ReadingApi, append, begin, vectors

KEY = {"idempotency-key": "k-1"}


@pytest.fixture
def api() -> ReadingApi:
    return ReadingApi()


@pytest.fixture
async def read(client) -> None:
    await begin(client, metadata={"title": "ü"})
    await append(client, "s", *CHUNKS)


async def exported(client: httpx.AsyncClient, query: str = "") -> bytes:
    answer = await client.get(f"/v1/sessions/s/export{query}")
    assert answer.status_code == 200, answer.text
    return answer.content


async def imported(
    client: httpx.AsyncClient, data: bytes, query: str = "", **headers: str
) -> httpx.Response:
    return await client.post(f"/v1/sessions/import{query}", content=data, headers=FILE | headers)


@pytest.mark.usefixtures("read")
async def test_a_fork_and_an_undisturbed_session_give_the_same_vectors(client):
    answer = await client.post("/v1/sessions/s/fork", json={"id": "f", "at_seq": 2})
    assert answer.status_code == 201
    body = answer.json()
    assert (body["id"], body["next_seq"], body["replayed"]) == ("f", 2, False)
    assert body["forked_from"] == {"id": "s", "at_seq": 2}
    assert body["metadata"] == {"title": "ü"}
    assert answer.headers["location"] == "/v1/sessions/f"
    assert (answer.headers["next-seq"], answer.headers["etag"]) == ("2", f'"{body["etag"]}"')
    mine = await append(client, "f", *CHUNKS[2:], first=2)
    await begin(client, "undisturbed")
    theirs = await append(client, "undisturbed", *CHUNKS)
    assert vectors(mine) == vectors(theirs[2:])
    shown = (await client.get("/v1/sessions/f")).json()
    assert (shown["forked_from"], shown["index"]) == ({"id": "s", "at_seq": 2}, False)
    listed = {each["id"]: each for each in (await client.get("/v1/sessions")).json()["data"]}
    assert listed["f"]["forked_from"] == {"id": "s", "at_seq": 2}
    assert listed["s"]["forked_from"] is None
    done = (await client.post("/v1/sessions/f/complete")).json()["session"]
    assert done["forked_from"] == {"id": "s", "at_seq": 2}


@pytest.mark.usefixtures("read")
async def test_a_fork_needs_no_body(client):
    for answer in (
        await client.post("/v1/sessions/s/fork"),
        await client.post("/v1/sessions/s/fork", json={}),
    ):
        assert answer.status_code == 201
        assert answer.json()["forked_from"] == {"id": "s", "at_seq": 4}


@pytest.mark.usefixtures("read")
async def test_a_position_that_is_not_kept_is_refused_with_those_that_are(client):
    answer = await client.post("/v1/sessions/s/fork", json={"at_seq": 3})
    problem = assert_problem(answer, 409, "snapshot_not_kept")
    assert problem["available"] == [0, 2, 4]
    assert answer.headers["x-should-retry"] == "false"


@pytest.mark.usefixtures("read")
async def test_forks_have_a_condition_on_the_parent(client):
    tag = (await client.head("/v1/sessions/s")).headers["etag"]
    answer = await client.post("/v1/sessions/s/fork", headers={"if-match": tag})
    assert answer.status_code == 201
    answer = await client.post("/v1/sessions/s/fork", headers={"if-match": '"other"'})
    assert_problem(answer, 412, "precondition_failed")


@pytest.mark.usefixtures("read")
async def test_forks_that_cannot_be(client):
    answer = await client.post("/v1/sessions/none/fork")
    assert_problem(answer, 404, "session_not_found")
    answer = await client.post("/v1/sessions/s/fork", json={"id": "s"})
    assert_problem(answer, 409, "session_exists")
    bad: list[dict[str, Any]] = [{"id": "a b"}, {"at_seq": -1}, {"at_seq": 1.5}, {"more": 1}]
    for body in (*bad, {"metadata": []}):
        answer = await client.post("/v1/sessions/s/fork", json=body)
        assert_problem(answer, 422, "validation_error")
    answer = await client.post("/v1/sessions/s/fork", json={"metadata": {"x": "y" * 20_000}})
    assert_problem(answer, 413, "payload_too_large")
    await client.delete("/v1/sessions/s")
    assert_problem(await client.post("/v1/sessions/s/fork"), 410, "session_deleted")


@pytest.mark.usefixtures("read")
@pytest.mark.parametrize("path", ["/v1/sessions", "/v1/sessions/s/fork"])
async def test_a_request_that_is_sent_again_is_told_of_the_session_it_began(client, path):
    body: dict[str, Any] = {"metadata": {"a": 1, "b": 2}}
    if path == "/v1/sessions":
        body["model"] = "fake"
    first = await client.post(path, json=body, headers=KEY)
    again = await client.post(path, json=dict(reversed(body.items())), headers=KEY)
    assert first.status_code == again.status_code == 201
    assert again.json() == {**first.json(), "replayed": True}
    assert first.json()["replayed"] is False
    other = await client.post(path, json={**body, "metadata": {"a": 2}}, headers=KEY)
    assert_problem(other, 422, "idempotency_key_reused")
    name = first.json()["id"]
    await append(client, name, "goes on", first=first.json()["next_seq"])
    again = await client.post(path, json=body, headers=KEY)
    assert again.json()["next_seq"] == first.json()["next_seq"] + 1
    await client.delete(f"/v1/sessions/{name}")
    again = await client.post(path, json=body, headers=KEY)
    assert_problem(again, 410, "session_deleted")


@pytest.mark.usefixtures("read")
async def test_one_key_is_one_request_whatever_it_asks_for(client):
    await client.post("/v1/sessions", json={"model": "fake"}, headers=KEY)
    for attempt in (
        client.post("/v1/sessions/s/fork", headers=KEY),
        imported(client, await exported(client), **KEY),
    ):
        assert_problem(await attempt, 422, "idempotency_key_reused")
    answer = await client.post("/v1/sessions/s/fork", headers={"idempotency-key": "a b"})
    assert_problem(answer, 400, "invalid_request")


@pytest.mark.usefixtures("read")
async def test_export_delete_import_and_go_on_as_if_nothing_had_happened(client):
    data = await exported(client)
    await client.delete("/v1/sessions/s")
    answer = await imported(client, data, "?id=again")
    assert answer.status_code == 201, answer.text
    body = answer.json()
    assert (body["id"], body["next_seq"], body["metadata"]) == ("again", 4, {"title": "ü"})
    assert answer.headers["location"] == "/v1/sessions/again"
    mine = await append(client, "again", "eleven", "twelve", first=4)
    await begin(client, "undisturbed")
    theirs = await append(client, "undisturbed", *CHUNKS, "eleven", "twelve")
    assert vectors(mine) == vectors(theirs[4:])
    replay = await append(client, "again", *CHUNKS)
    assert all(chunk["replayed"] for chunk in replay)
    assert vectors(replay) == vectors(theirs[:4])


@pytest.mark.usefixtures("read")
async def test_what_an_export_is(client):
    answer = await client.get("/v1/sessions/s/export")
    assert answer.headers["content-type"] == MEDIA_TYPE
    assert answer.headers["content-disposition"] == 'attachment; filename="s.safetensors"'
    assert (answer.headers["next-seq"], answer.headers["cache-control"]) == ("4", "no-store")
    short = await exported(client, "?answers=false")
    assert len(short) < len(answer.content)
    assert_problem(await client.get("/v1/sessions/none/export"), 404, "session_not_found")
    wrong = await client.get("/v1/sessions/s/export?answers=perhaps")
    assert_problem(wrong, 422, "validation_error")


@pytest.mark.usefixtures("read")
async def test_an_import_that_is_sent_again(client):
    data = await exported(client)
    first = await imported(client, data, **KEY)
    again = await imported(client, data, **KEY)
    assert again.json() == {**first.json(), "replayed": True}
    for query, body in (("?id=x", data), ("", await exported(client, "?answers=false"))):
        assert_problem(await imported(client, body, query, **KEY), 422, "idempotency_key_reused")


@pytest.mark.usefixtures("read")
async def test_files_that_are_none_make_no_session(client, api):
    data = await exported(client)
    flipped = bytearray(data)
    flipped[-1] ^= 1
    before = dict(api.store._sessions)
    bad = [b"", b"{}", data[:-1], data[:100], bytes(flipped), struct.pack("<Q", 2**63) + data[8:]]
    for body in bad:
        problem = assert_problem(await imported(client, body), 422, "invalid_session_file")
        assert "no session that was exported" in problem["detail"]
    assert api.store._sessions == before


@pytest.mark.usefixtures("read")
async def test_imports_that_cannot_be(client, api):
    data = await exported(client)
    assert_problem(await imported(client, data, "?id=s"), 409, "session_exists")
    assert_problem(await imported(client, data, "?id=a%20b"), 422, "validation_error")
    answer = await client.post("/v1/sessions/import", content=data)
    assert_problem(answer, 415, "unsupported_media_type")
    answer = await imported(client, data, **{"content-encoding": "gzip"})
    assert_problem(answer, 415, "unsupported_media_type")
    other = ReadingApi(info=api.info.__class__(**{**_fields(api.info), "fingerprint": "e" * 64}))
    async with other.client() as elsewhere:
        problem = assert_problem(await imported(elsewhere, data), 409, "model_changed")
        assert problem["stored_fingerprint"] == api.info.fingerprint
        assert problem["current_fingerprint"] == "e" * 64
    unknown = ReadingApi(info=api.info.__class__(**{**_fields(api.info), "id": "else"}))
    async with unknown.client() as elsewhere:
        assert_problem(await imported(elsewhere, data), 404, "model_not_found")


@pytest.mark.usefixtures("read")
async def test_a_state_that_is_not_the_models_makes_no_session(client, api):
    data = await exported(client)
    api.encoder.reader.shape = {"matrix": (1, 1, 2, 2)}
    problem = assert_problem(await imported(client, data, "?id=x"), 422, "invalid_state")
    assert "shape" in problem["detail"]
    assert_problem(await client.get("/v1/sessions/x"), 404, "session_not_found")


async def test_files_have_a_bound_in_both_directions():
    api = ReadingApi(limits=LimitsConfig(import_bytes=1500))
    async with api.client() as client:
        await begin(client)
        await append(client, "s", *CHUNKS, *(f"more {i}" for i in range(10)))
        answer = await client.get("/v1/sessions/s/export")
        assert_problem(answer, 422, "answer_too_large")
        small = await exported(client, "?answers=false")
        assert len(small) <= 1500
        assert (await imported(client, small)).status_code == 201
        problem = assert_problem(await imported(client, b"x" * 1501), 413, "payload_too_large")
        assert problem["max_body_bytes"] == 1500


@pytest.mark.usefixtures("read")
async def test_what_happens_is_counted(client, api):
    await client.post("/v1/sessions/s/fork")
    await imported(client, await exported(client))
    text = api.metrics.exposition().decode()
    for event in ("fork", "export", "import"):
        assert f'longstream_session_events_total{{event="{event}"}} 1.0' in text


async def test_metadata_of_a_file_is_no_way_to_write_into_an_answer(client):
    await begin(client, metadata={"a": '"}, "id": "forged'})
    await append(client, "s", "one")
    body = (await imported(client, await exported(client), "?id=x")).json()
    assert body["id"] == "x"
    assert body["metadata"] == {"a": '"}, "id": "forged'}
    assert json.loads((await client.get("/v1/sessions/x")).content)["metadata"] == body["metadata"]


def _fields(info) -> dict[str, object]:
    return {name: getattr(info, name) for name in info.__slots__}
