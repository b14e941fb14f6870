"""`/v2/embed`, as Cohere's SDK sends and reads it."""

import base64
from typing import Any

import httpx
import numpy as np
import pytest

from tests.service.api.kit import assert_problem

PATH = "/v2/embed"
BODY: dict[str, Any] = {
    "model": "infini",
    "input_type": "search_document",
    "texts": ["one two", "three"],
}
LONG = "word " * 20


async def post(client: httpx.AsyncClient, **body: Any) -> dict[str, Any]:
    answer = await client.post(PATH, json=BODY | body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_the_vectors_are_those_of_plain_embeddings(client):
    body = await post(client)
    plain = await client.post("/v1/embeddings", json={"model": "infini", "input": BODY["texts"]})
    assert body["embeddings"] == {"float": [row["embedding"] for row in plain.json()["data"]]}
    assert (body["response_type"], body["texts"]) == ("embeddings_by_type", BODY["texts"])
    assert body["id"]
    assert body["meta"] == {
        "api_version": {"version": "2"},
        "billed_units": {"input_tokens": plain.json()["usage"]["total_tokens"]},
    }


async def test_several_types_at_once(client):
    kinds = ["float", "base64", "int8", "binary", "ubinary"]
    found = (await post(client, embedding_types=kinds))["embeddings"]
    assert list(found) == kinds
    for plain, packed in zip(found["float"], found["base64"], strict=True):
        np.testing.assert_array_equal(
            np.frombuffer(base64.b64decode(packed), "<f4"), np.float32(plain)
        )
    assert {len(row) for row in found["int8"]} == {8}
    assert {len(row) for row in found["ubinary"]} == {1}
    assert max(map(abs, found["int8"][0])) == 127


async def test_inputs_are_texts_in_objects(client):
    inputs = [{"content": [{"type": "text", "text": text}]} for text in BODY["texts"]]
    body = {key: value for key, value in BODY.items() if key != "texts"}
    answer = await client.post(PATH, json={**body, "inputs": inputs})
    assert answer.json()["embeddings"] == (await post(client))["embeddings"]


async def test_nothing_is_cut_unless_it_is_asked_for_and_then_it_is_said(client):
    body = {**BODY, "model": "multi-head", "texts": [LONG]}
    for extra in ({}, {"truncate": "NONE"}):
        answer = await client.post(PATH, json=body | extra)
        assert_problem(answer, 422, "input_too_long")
    cut = (await client.post(PATH, json={**body, "truncate": "END"})).json()
    assert cut["meta"]["warnings"] == ["4 tokens were cut off, as truncate asked for"]
    assert "warnings" not in (await post(client, texts=[LONG]))["meta"]


@pytest.mark.parametrize(
    "body",
    [
        {"texts": []},
        {"texts": "x"},
        {"input_type": "image"},
        {"input_type": None},
        {"images": ["data:"]},
        {"inputs": [{"content": [{"type": "text", "text": "x"}]}]},
        {"texts": None, "inputs": [{"content": [{"type": "image_url", "image_url": {}}]}]},
        {"texts": None, "inputs": [{"content": []}]},
        {"output_dimension": 7},
        {"embedding_types": []},
        {"embedding_types": ["uint8"]},
        {"truncate": "START"},
        {"max_tokens": 3},
    ],
)
async def test_what_cannot_be_done_is_said(client, body):
    assert_problem(await client.post(PATH, json=BODY | body), 422, "validation_error")


async def test_a_model_that_is_not_there(client):
    answer = await client.post(PATH, json={**BODY, "model": "embed-v4.0"})
    assert_problem(answer, 404, "model_not_found")
