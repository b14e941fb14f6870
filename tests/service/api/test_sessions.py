import httpx
import pytest

from service.errors import Unavailable
from tests.service.api.kit import INFINI, Api, assert_problem


async def _create(client: httpx.AsyncClient, name: str = "s1", **more: object) -> httpx.Response:
    return await client.post("/v1/sessions", json={"model": "infini", "id": name, **more})


async def _append(client: httpx.AsyncClient, chunks: list[str], **more: object) -> httpx.Response:
    return await client.post("/v1/sessions/s1/chunks", json={"chunks": chunks, **more})


async def test_create_answers_with_the_whole_session(client):
    answer = await _create(client, metadata={"title": "Krieg", "n": 12345678901234567890123})
    assert answer.status_code == 201
    assert answer.headers["location"] == "/v1/sessions/s1"
    body = answer.json()
    assert answer.headers["etag"] == f'"{body["etag"]}"'
    assert body == {
        "object": "session",
        "id": "s1",
        "model": "infini",
        "status": "open",
        "completed": False,
        "next_seq": 0,
        "tokens": 0,
        "memory_bytes": INFINI.memory_bytes,
        "state_bytes": 3_120,
        "created_at": 1.5,
        "updated_at": 2.5,
        "ttl_seconds": None,
        "expires_at": None,
        "metadata": {"title": "Krieg", "n": 12345678901234567890123},
        "index": False,
        "forked_from": None,
        "etag": "fake.0",
        "replayed": False,
    }
    del body["replayed"]
    assert (await client.get(answer.headers["location"])).json() == body


async def test_a_session_may_be_given_a_time_to_live(client):
    body = (await _create(client, ttl_seconds=60)).json()
    assert (body["ttl_seconds"], body["expires_at"]) == (60, 62.5)
    shown = (await client.get("/v1/sessions/s1")).json()
    assert {**shown, "replayed": False} == body


@pytest.mark.parametrize("ttl", [0, -1, 1.5, "60", True, 10**11])
async def test_a_time_to_live_is_a_number_of_seconds(client, ttl):
    assert_problem(await _create(client, ttl_seconds=ttl), 422, "validation_error")


async def test_the_server_chooses_an_id_if_none_is_given(client):
    answer = await client.post("/v1/sessions", json={"model": "infini"})
    assert answer.json()["id"]


@pytest.mark.parametrize("name", ["", "a b", "../x", "a/b", "x" * 129, "é", "a\n", "a\x00b", 7])
async def test_ids_that_cannot_be_are_422_in_a_body(client, name):
    assert_problem(await _create(client, name), 422, "validation_error")


@pytest.mark.parametrize("name", ["a.b", "x" * 129, "%00", "a%0a", "é", "a%20b", "x" * 5000])
@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_ids_that_cannot_be_are_404_in_a_path(client, name, method):
    answer = await client.request(method, f"/v1/sessions/{name}")
    assert_problem(answer, 404, "session_not_found")


async def test_a_taken_id_and_a_model_without_memory_are_refused(client):
    await _create(client)
    taken = await _create(client)
    assert_problem(taken, 409, "session_exists")
    assert taken.headers["x-should-retry"] == "false"
    answer = await client.post("/v1/sessions", json={"model": "multi-head"})
    assert_problem(answer, 422, "model_has_no_memory")
    answer = await client.post("/v1/sessions", json={"model": "nope"})
    assert_problem(answer, 404, "model_not_found")


async def test_large_metadata_is_413_and_infinity_in_it_400(client):
    big = await _create(client, metadata={"a": "x" * 20_000})
    assert assert_problem(big, 413, "payload_too_large")["max_metadata_bytes"] == 16 * 1024
    content = b'{"model":"infini","metadata":{"a":1e400}}'
    headers = {"content-type": "application/json"}
    answer = await client.post("/v1/sessions", content=content, headers=headers)
    assert_problem(answer, 400, "invalid_request")


async def test_head_tells_where_to_go_on(client):
    await _create(client)
    await _append(client, ["a", "b"])
    answer = await client.head("/v1/sessions/s1")
    assert answer.status_code == 200
    assert answer.headers["next-seq"] == "2"
    assert answer.headers["etag"] == '"fake.2"'
    assert answer.headers["session-completed"] == "false"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.content == b""
    missing = await client.head("/v1/sessions/s2")
    assert missing.status_code == 404
    assert missing.content == b""


async def test_lists_go_page_by_page(client):
    for index in range(5):
        await _create(client, f"s{index}")
    first = (await client.get("/v1/sessions?limit=2")).json()
    assert [item["id"] for item in first["data"]] == ["s0", "s1"]
    assert first["has_more"] is True
    assert first["next_after"] == "s1"
    last = (await client.get("/v1/sessions?limit=3&after=s1")).json()
    assert [item["id"] for item in last["data"]] == ["s2", "s3", "s4"]
    assert last["has_more"] is False
    assert last["next_after"] is None
    assert last["data"][0]["memory_bytes"] == INFINI.memory_bytes


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=x", "limit=1e400", "after=../x"])
async def test_a_bad_page_is_422(client, query):
    assert_problem(await client.get(f"/v1/sessions?{query}"), 422, "validation_error")


async def test_the_document_vector_in_both_encodings(client):
    await _create(client)
    await _append(client, ["one"])
    plain = (await client.get("/v1/sessions/s1/embedding")).json()
    packed = (await client.get("/v1/sessions/s1/embedding?encoding_format=base64")).json()
    assert plain["object"] == "document_embedding"
    assert plain["session_id"] == "s1"
    assert plain["tokens"] == 1
    assert plain["next_seq"] == 1
    assert len(plain["embedding"]) == 8
    assert isinstance(packed["embedding"], str)
    bad = await client.get("/v1/sessions/s1/embedding?encoding_format=hex")
    assert_problem(bad, 422, "validation_error")


async def test_delete_is_conditional_and_final(client):
    await _create(client)
    path = "/v1/sessions/s1"
    wrong = await client.delete(path, headers={"If-Match": '"other"'})
    assert_problem(wrong, 412, "precondition_failed")
    done = await client.delete(path, headers={"If-Match": '"fake.0"'})
    assert done.status_code == 204
    assert done.content == b""
    assert_problem(await client.get(path), 410, "session_deleted")
    assert_problem(await _append(client, ["x"]), 410, "session_deleted")


async def test_a_session_stays_readable_while_its_model_is_down(api: Api, client, monkeypatch):
    await _create(client)

    async def down() -> None:
        raise Unavailable("model_unavailable", "starting")

    monkeypatch.setattr(api.infini, "info", down)
    answer = await client.get("/v1/sessions/s1")
    assert answer.status_code == 200
    assert answer.json()["memory_bytes"] is None
    down_now = await client.get("/v1/models/infini")
    assert_problem(down_now, 503, "model_unavailable")
    assert down_now.headers["retry-after"] == "1"
    listed = await client.get("/v1/models")
    assert [model["id"] for model in listed.json()["data"]] == ["multi-head"]
