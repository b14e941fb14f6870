import httpx
import numpy as np
import pytest

from tests.service.api.fake_tokens import HEADS, LAYERS, fake_scores
from tests.service.api.kit import assert_problem


async def _post(client: httpx.AsyncClient, **body: object) -> httpx.Response:
    return await client.post("/v1/attention", json={"model": "infini", "input": "a bc d", **body})


async def test_by_default_it_answers_the_weights_of_all_layers_and_heads(client):
    answer = (await _post(client)).json()
    assert [token["token"] for token in answer["tokens"]] == ["[CLS]", "a", "bc", "d", "[SEP]"]
    assert [(t["start"], t["end"]) for t in answer["tokens"]][:3] == [(None, None), (0, 1), (2, 4)]
    assert [layer["layer"] for layer in answer["layers"]] == list(range(LAYERS))
    for layer in answer["layers"]:
        assert [head["head"] for head in layer["heads"]] == list(range(HEADS))
        for head in layer["heads"]:
            assert set(head) == {"head", "directions", "memory_share"}
            [direction] = head["directions"]
            assert set(direction) == {"direction", "weights"}
            np.testing.assert_allclose(np.sum(direction["weights"], axis=1), 1, atol=1e-6)
    assert (answer["object"], answer["model"]) == ("attention", "infini")
    assert answer["usage"] == {"prompt_tokens": 5, "total_tokens": 5}


async def test_the_share_from_memory_is_shown_where_there_is_one(client):
    answer = (await _post(client, context="read before")).json()
    assert answer["memory_share"] == [0, 0.25, 0.5, 0.75, 1]
    assert answer["layers"][0]["heads"][1]["memory_share"] == answer["memory_share"]
    assert answer["usage"]["prompt_tokens"] == 7
    stateless = (await _post(client, model="multi-head")).json()
    assert "memory_share" not in stateless
    assert "memory_share" not in stateless["layers"][0]["heads"][0]


async def test_the_asked_layers_heads_and_stages_are_shown_and_no_others(client):
    body = {"layers": [1], "heads": [0, 2], "return": ["scores", "outputs"]}
    [layer] = (await _post(client, **body)).json()["layers"]
    assert layer["layer"] == 1
    assert [head["head"] for head in layer["heads"]] == [0, 2]
    for head in layer["heads"]:
        [direction] = head["directions"]
        assert set(direction) == {"direction", "scores", "outputs"}
        expected = fake_scores(5, 1)[head["head"]]
        for row, wanted in zip(direction["scores"], expected, strict=True):
            assert [value is None for value in row] == list(np.isneginf(wanted))
            seen = [value for value in row if value is not None]
            np.testing.assert_array_equal(np.asarray(seen, np.float32), wanted[np.isfinite(wanted)])
        assert np.shape(head["outputs"]) == np.shape(direction["outputs"]) == (5, 4)


@pytest.mark.parametrize(
    "bad",
    [
        {"input": ["a"]},
        {"input": [1]},
        {"context": 1},
        {"layers": []},
        {"layers": [-1]},
        {"layers": [True]},
        {"layers": [0.0]},
        {"heads": [0] * 257},
        {"return": []},
        {"return": ["gradients"]},
        {"return": "weights"},
        {"stages": ["weights"]},
    ],
)
async def test_what_the_schema_does_not_know_is_refused(client, bad):
    assert_problem(await _post(client, **bad), 422, "validation_error")


async def test_refusals_of_the_encoder_arrive(client):
    refused = await _post(client, model="multi-head", context="before")
    body = assert_problem(refused, 422, "model_has_no_memory")
    assert body["error"]["param"] == "context"
    assert_problem(await _post(client, input="word " * 17), 422, "input_too_long")
    assert_problem(await _post(client, model="gpt"), 404, "model_not_found")
