import base64
from dataclasses import replace

import httpx
import numpy as np
import pytest

from service.config import LimitsConfig
from tests.service.api.fake_vectors import fake_vector
from tests.service.api.kit import Api, assert_problem

PATH = "/v1/sessions/s1/query"
READ = ["73622 is the key", "73622 is the key", "the end"]


async def _query(client: httpx.AsyncClient, *texts: str, **more: object) -> httpx.Response:
    return await client.post(PATH, json={"texts": texts, **more})


@pytest.fixture
async def read(session, client) -> None:
    """Session `s1` has read `READ`."""
    await client.post("/v1/sessions/s1/chunks", json={"chunks": READ})


@pytest.mark.usefixtures("read")
async def test_questions_come_back_as_plain_vectors_of_one_moment(client):
    answer = await _query(client, "the key", "")
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert {key: body[key] for key in ("object", "session_id", "model", "next_seq", "usage")} == {
        "object": "query",
        "session_id": "s1",
        "model": "infini",
        "next_seq": 3,
        "usage": {"prompt_tokens": 2, "total_tokens": 2, "truncated_tokens": 0},
    }
    for index, (item, text) in enumerate(zip(body["data"], ("the key", ""), strict=True)):
        assert set(item) == {"index", "embedding", "tokens", "recall", "nearest"}
        assert item["nearest"] is None
        assert (item["index"], item["tokens"], item["recall"]) == (index, len(text.split()), None)
        np.testing.assert_array_equal(np.float32(item["embedding"]), fake_vector(text, 8))
    assert body["searched"] is None
    assert answer.headers["etag"] == '"fake.3"'
    assert answer.headers["cache-control"] == "no-store"
    assert "infer;dur=3.000" in answer.headers["server-timing"]
    plain = await client.post("/v1/embeddings", json={"model": "infini", "input": "the key"})
    assert plain.json()["data"][0]["embedding"] == body["data"][0]["embedding"]
    packed = (await _query(client, "the key", encoding_format="base64")).json()["data"][0]
    vector = np.frombuffer(base64.b64decode(packed["embedding"]), "<f4")
    np.testing.assert_array_equal(vector, fake_vector("the key", 8))


@pytest.mark.usefixtures("read")
async def test_a_model_with_a_recall_head_answers_from_the_memory(client, api):
    api.infini.recalls = True
    body = (await _query(client, "the key", "the door")).json()
    assert [item["recall"] for item in body["data"]] == [
        {"answer": "73622", "confidence": 0.5, "found": True},
        {"answer": None, "confidence": 0.0, "found": False},
    ]


@pytest.mark.usefixtures("read")
async def test_a_session_with_an_index_is_searched(client, api):
    api.infini.searches = True
    body = (await _query(client, "the key", "door", top_k=2)).json()
    assert body["searched"] == [0, 3]
    for item in body["data"]:
        assert item["nearest"] == [
            {"seq": 2, "score": 1.0, "token_range": [8, 10]},
            {"seq": 1, "score": 0.5, "token_range": [4, 8]},
        ]
    [item] = (await _query(client, "the key")).json()["data"]
    assert [near["seq"] for near in item["nearest"]] == [2, 1, 0]


@pytest.mark.usefixtures("read")
async def test_asking_changes_nothing_and_a_completed_session_can_be_asked(client):
    before = (await client.get("/v1/sessions/s1")).json()
    first = (await _query(client, "the key")).json()
    assert (await client.get("/v1/sessions/s1")).json() == before
    await client.post("/v1/sessions/s1/complete")
    assert (await _query(client, "the key")).json() == first


@pytest.mark.usefixtures("session")
@pytest.mark.parametrize(
    "bad",
    [
        {},
        {"texts": []},
        {"texts": "x"},
        {"texts": [1]},
        {"texts": [["x"]]},
        {"texts": None},
        {"texts": ["x"], "top_k": 0},
        {"texts": ["x"], "top_k": 1001},
        {"texts": ["x"], "top_k": 1.5},
        {"texts": ["x"], "encoding_format": "hex"},
        {"texts": ["x"] * 2049},
    ],
)
async def test_what_the_schema_does_not_know_is_refused(client, bad):
    assert_problem(await client.post(PATH, json=bad), 422, "validation_error")


async def test_sessions_that_are_not_there_or_gone(client, session):
    missing = await client.post("/v1/sessions/none/query", json={"texts": ["x"]})
    assert_problem(missing, 404, "session_not_found")
    await client.delete("/v1/sessions/s1")
    assert_problem(await _query(client, "x"), 410, "session_deleted")


@pytest.mark.usefixtures("session")
async def test_a_session_whose_model_is_not_served_cannot_be_asked(client, api):
    api.app.state.services = replace(api.services, encoders={})
    assert_problem(await _query(client, "x"), 503, "model_unavailable")
    assert_problem(await client.post(PATH), 415, "unsupported_media_type")


async def test_it_is_bounded_counted_and_refused_while_draining():
    api = Api(limits=LimitsConfig(texts=2))
    async with api.client() as client:
        await client.post("/v1/sessions", json={"model": "infini", "id": "s1"})
        many = assert_problem(await _query(client, "a", "b", "c"), 422, "validation_error")
        assert (many["max_items"], many["error"]["param"]) == (2, "texts")
        assert (await _query(client, "a", "b")).is_success
        api.draining = True
        assert_problem(await _query(client, "a"), 503, "draining")
    route = 'method="POST",route="/v1/sessions/{session_id}/query"'
    assert f'http_requests_total{{code="200",{route}}} 1.0'.encode() in api.metrics.exposition()
