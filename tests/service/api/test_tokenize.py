import httpx
import pytest

from tests.service.api.kit import assert_problem


async def _post(client: httpx.AsyncClient, **body: object) -> httpx.Response:
    return await client.post("/v1/tokenize", json={"model": "infini", **body})


async def test_ids_pieces_places_and_counts(client):
    answer = await _post(client, input=["two  words", ""])
    assert answer.json() == {
        "object": "list",
        "model": "infini",
        "data": [
            {
                "index": 0,
                "ids": [3, 5],
                "tokens": ["two", "words"],
                "offsets": [[0, 3], [5, 10]],
                "count": 2,
            },
            {"index": 1, "ids": [], "tokens": [], "offsets": [], "count": 0},
        ],
        "total": 2,
        "max_chunk_tokens": 16,
    }
    assert "tokenize;dur=1.000" in answer.headers["server-timing"]


async def test_one_text_of_any_length_is_a_list_of_one(client):
    answer = (await _post(client, model="multi-head", input="word " * 500)).json()
    assert [item["count"] for item in answer["data"]] == [500]
    assert answer["total"] == 500


@pytest.mark.parametrize("bad", [{"input": []}, {"input": 5}, {"input": "x", "truncate": True}])
async def test_what_the_schema_does_not_know_is_refused(client, bad):
    assert_problem(await _post(client, **bad), 422, "validation_error")


async def test_more_texts_than_the_limit_and_unknown_models_are_refused(client):
    body = assert_problem(await _post(client, input=["x"] * 2049), 422, "validation_error")
    assert body["max_items"] == 2048
    assert_problem(await _post(client, model="gpt", input="x"), 404, "model_not_found")
