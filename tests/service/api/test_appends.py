from dataclasses import replace

import httpx
import numpy as np
import pytest

from tests.service.api.fake_vectors import fake_vector
from tests.service.api.kit import assert_problem


async def _create(client: httpx.AsyncClient, name: str = "s1", **more: object) -> httpx.Response:
    return await client.post("/v1/sessions", json={"model": "infini", "id": name, **more})


async def _append(client: httpx.AsyncClient, chunks: list[str], **more: object) -> httpx.Response:
    return await client.post("/v1/sessions/s1/chunks", json={"chunks": chunks, **more})


async def test_append_answers_per_chunk_and_replays(client):
    await _create(client)
    answer = await _append(client, ["one", "two words"], first_seq=0)
    assert answer.status_code == 200
    assert answer.headers["etag"] == '"fake.2"'
    body = answer.json()
    assert {
        key: body[key] for key in ("object", "session_id", "model", "next_seq", "replayed")
    } == {
        "object": "append",
        "session_id": "s1",
        "model": "infini",
        "next_seq": 2,
        "replayed": False,
    }
    assert body["chunks"][1]["seq"] == 1
    assert body["chunks"][1]["tokens"] == 2
    assert body["chunks"][1]["token_range"] == [1, 3]
    assert body["chunks"][1]["replayed"] is False
    assert "document" not in body
    again = (await _append(client, ["one", "two words"], first_seq=0)).json()
    assert again["replayed"] is True
    assert [c["embedding"] for c in again["chunks"]] == [c["embedding"] for c in body["chunks"]]
    half = (await _append(client, ["two words", "new"], first_seq=1)).json()
    assert half["replayed"] is False
    assert [c["replayed"] for c in half["chunks"]] == [True, False]


async def test_only_what_is_asked_for_is_returned(client):
    await _create(client)
    body = (await _append(client, ["one"], **{"return": ["document"]})).json()
    assert body["chunks"] == [{"seq": 0, "replayed": False}]
    assert body["document"]["tokens"] == 1
    assert body["document"]["next_seq"] == 1
    bare = (await _append(client, ["two"], **{"return": []})).json()
    assert bare["chunks"] == [{"seq": 1, "replayed": False}]


async def test_the_document_of_an_old_replay_is_the_one_of_now(client, api):
    await _create(client)
    await _append(client, ["one", "two words"])
    body = (await _append(client, ["one"], first_seq=0, **{"return": ["document"]})).json()
    document = (await client.get("/v1/sessions/s1/embedding")).json()
    assert body["document"] == {
        "embedding": document["embedding"],
        "tokens": 3,
        "next_seq": 2,
    }


async def test_a_gap_and_other_content_are_409_with_the_numbers(client):
    await _create(client)
    body = assert_problem(await _append(client, ["x"], first_seq=3), 409, "sequence_conflict")
    assert body["expected_seq"] == 0
    assert body["provided_seq"] == 3
    assert body["error"]["param"] == "first_seq"


@pytest.mark.parametrize("first_seq", [-1, 1.0, "0", True, 2**53, 10**30])
async def test_first_seq_is_a_small_integer(client, first_seq):
    await _create(client)
    answer = await _append(client, ["x"], first_seq=first_seq)
    assert_problem(answer, 422, "validation_error")


@pytest.mark.parametrize("chunks", [[], ["x"] * 257, "x", [1], [["x"]], None])
async def test_chunks_are_one_to_256_texts(client, chunks):
    await _create(client)
    assert_problem(await _append(client, chunks), 422, "validation_error")


async def test_if_match_and_idempotency_key_are_read_strictly(client):
    await _create(client)
    post = "/v1/sessions/s1/chunks"
    body = {"chunks": ["x"]}

    async def with_header(name: str, value: str) -> httpx.Response:
        answer: httpx.Response = await client.post(post, json=body, headers={name: value})
        return answer

    assert_problem(await with_header("If-Match", '"fake.9"'), 412, "precondition_failed")
    assert_problem(await with_header("If-Match", 'W/"fake.0"'), 412, "precondition_failed")
    assert_problem(await with_header("If-Match", '"*"'), 412, "precondition_failed")
    assert_problem(await with_header("If-Match", "fake.0"), 400, "invalid_request")
    assert_problem(await with_header("Idempotency-Key", "k" * 256), 400, "invalid_request")
    assert_problem(await with_header("Idempotency-Key", ""), 400, "invalid_request")
    assert (await with_header("If-Match", '"fake.0"')).status_code == 200
    assert (await with_header("If-Match", "*")).status_code == 200
    assert (await with_header("If-Match", '"x", "fake.2"')).status_code == 200
    several = [("If-Match", '"x"'), ("If-Match", 'W/"y", "fake.3"')]
    assert (await client.post(post, json=body, headers=several)).status_code == 200


async def test_an_append_to_a_model_that_is_no_longer_served_is_503(client, api):
    await _create(client)
    api.app.state.services = replace(api.services, encoders={})
    assert_problem(await _append(client, ["x"]), 503, "model_unavailable")


async def test_the_document_is_computed_only_where_it_is_returned(client, api, monkeypatch):
    await _create(client)
    wanted = []
    append = api.infini.append

    async def spy(command):
        wanted.append(command.want_document)
        return await append(command)

    monkeypatch.setattr(api.infini, "append", spy)
    await _append(client, ["one"])
    await _append(client, ["two"], **{"return": ["tokens", "document"]})
    assert wanted == [False, True]


async def test_vectors_depend_on_what_came_before(client):
    await _create(client)
    body = (await _append(client, ["same", "same"])).json()
    assert body["chunks"][0]["embedding"] != body["chunks"][1]["embedding"]
    assert np.isclose(np.linalg.norm(fake_vector("x", 8)), 1.0)
