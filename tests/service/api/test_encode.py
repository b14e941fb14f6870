import base64

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.service.api.fake_vectors import fake_vector
from tests.service.api.kit import Api, assert_problem

TEXTS = ["one", "two  words", ""]


async def _post(client: httpx.AsyncClient, **body: object) -> httpx.Response:
    return await client.post("/v1/encode", json={"model": "multi-head", **body})


def _decoded(text: str) -> NDArray[np.float32]:
    return np.frombuffer(base64.b64decode(text), dtype="<f4")


async def test_by_default_it_answers_the_vectors_of_embeddings(client):
    answer = (await _post(client, input=TEXTS)).json()
    assert [set(item) for item in answer["data"]] == [{"index", "embedding"}] * 3
    for index, (item, text) in enumerate(zip(answer["data"], TEXTS, strict=True)):
        assert item["index"] == index
        np.testing.assert_array_equal(np.float32(item["embedding"]), fake_vector(text, 8))
    assert (answer["object"], answer["model"]) == ("list", "multi-head")
    assert answer["usage"] == {"prompt_tokens": 3, "total_tokens": 3, "truncated_tokens": 0}


async def test_tokens_have_places_and_vectors(client):
    answer = (await _post(client, input=TEXTS, **{"return": ["tokens"]})).json()
    assert [set(item) for item in answer["data"]] == [{"index", "tokens"}] * 3
    places = [
        [(token["token"], token["start"], token["end"]) for token in item["tokens"]]
        for item in answer["data"]
    ]
    assert places == [[("one", 0, 3)], [("two", 0, 3), ("words", 5, 10)], []]
    words = answer["data"][1]["tokens"]
    assert [token["id"] for token in words] == [3, 5]
    for token in words:
        np.testing.assert_array_equal(
            np.float32(token["embedding"]), fake_vector(token["token"], 8)
        )


async def test_special_tokens_come_when_asked_for_and_have_no_place(client):
    body = {"input": "hi", "return": ["tokens"], "special_tokens": True}
    [item] = (await _post(client, **body)).json()["data"]
    assert [(t["token"], t["start"], t["end"]) for t in item["tokens"]] == [
        ("[CLS]", None, None),
        ("hi", 0, 2),
        ("[SEP]", None, None),
    ]


async def test_base64_carries_both_kinds_of_vectors(client):
    body = {"input": "a b", "return": ["tokens", "embedding"], "encoding_format": "base64"}
    [item] = (await _post(client, **body)).json()["data"]
    np.testing.assert_array_equal(_decoded(item["embedding"]), fake_vector("a b", 8))
    vectors = [_decoded(token["embedding"]) for token in item["tokens"]]
    np.testing.assert_array_equal(vectors, [fake_vector("a", 8), fake_vector("b", 8)])


@pytest.mark.parametrize("members", [["embedding"], ["tokens"]])
async def test_nothing_is_truncated_unless_asked(client, members):
    long = "word " * 20
    answer = await _post(client, input=long, **{"return": members})
    assert_problem(answer, 422, "input_too_long")
    cut = (await _post(client, input=long, truncate=True, **{"return": members})).json()
    assert cut["usage"]["truncated_tokens"] == 4
    if "tokens" in members:
        assert len(cut["data"][0]["tokens"]) == 16
        whole = (await _post(client, model="infini", input=long, **{"return": members})).json()
        assert len(whole["data"][0]["tokens"]) == 20


@pytest.mark.parametrize(
    "bad",
    [
        {"input": []},
        {"input": "x", "return": []},
        {"input": "x", "return": ["everything"]},
        {"input": "x", "return": ["tokens"] * 3},
        {"input": "x", "special_tokens": 1},
        {"input": "x", "encoding_format": "int8"},
        {"input": ["x"] * 2049},
    ],
)
async def test_what_the_schema_does_not_know_is_refused(client, bad):
    assert_problem(await _post(client, **bad), 422, "validation_error")


async def test_token_ids_and_unknown_models_are_named(client):
    assert_problem(await _post(client, input=[1, 2]), 422, "token_ids_not_supported")
    assert_problem(await _post(client, model="gpt", input="x"), 404, "model_not_found")


async def test_it_is_counted_timed_and_refused_while_draining():
    api = Api()
    async with api.client() as client:
        answer = await _post(client, input="x", **{"return": ["tokens"]})
        assert "infer;dur=3.000" in answer.headers["server-timing"]
        counted = b'http_requests_total{code="200",method="POST",route="/v1/encode"} 1.0'
        assert counted in api.metrics.exposition()
        api.draining = True
        for path in ("/v1/encode", "/v1/attention", "/v1/tokenize"):
            refused = await client.post(path, json={"model": "infini", "input": "x"})
            assert_problem(refused, 503, "draining")
