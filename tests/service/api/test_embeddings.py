import base64
from typing import Any

import httpx
import numpy as np
import openai
import pytest
from numpy.typing import NDArray

from tests.service.api.fake_vectors import fake_vector
from tests.service.api.kit import Api, assert_problem


async def _post(client: httpx.AsyncClient, **body: object) -> httpx.Response:
    return await client.post("/v1/embeddings", json=body)


def _decoded(text: str) -> NDArray[np.float32]:
    return np.frombuffer(base64.b64decode(text), dtype="<f4")


async def test_float_and_base64_carry_the_same_float32(client):
    texts = ["one", "two words", ""]
    plain = (await _post(client, model="multi-head", input=texts)).json()
    packed = (await _post(client, model="multi-head", input=texts, encoding_format="base64")).json()
    for text, number, packed_number in zip(texts, plain["data"], packed["data"], strict=True):
        expected = fake_vector(text, 8)
        np.testing.assert_array_equal(np.float32(number["embedding"]), expected)
        np.testing.assert_array_equal(_decoded(packed_number["embedding"]), expected)
    assert [item["index"] for item in plain["data"]] == [0, 1, 2]
    assert plain["usage"] == {"prompt_tokens": 3, "total_tokens": 3, "truncated_tokens": 0}
    assert plain["object"] == "list"
    assert plain["model"] == "multi-head"


async def test_one_string_is_one_vector_and_user_is_accepted(client):
    answer = await _post(client, model="infini", input="hello", user="me", dimensions=8)
    assert answer.status_code == 200
    assert len(answer.json()["data"]) == 1


async def test_other_dimensions_are_refused(client):
    body = assert_problem(
        await _post(client, model="infini", input="x", dimensions=4), 422, "validation_error"
    )
    assert body["error"]["param"] == "dimensions"


@pytest.mark.parametrize("tokens", [[1, 2, 3], [[1, 2], [3]]])
async def test_token_ids_are_named_and_langchain_is_told_the_way_out(client, tokens):
    body = assert_problem(
        await _post(client, model="multi-head", input=tokens), 422, "token_ids_not_supported"
    )
    assert "check_embedding_ctx_length=False" in body["detail"]


@pytest.mark.parametrize("bad", [[], None, 5, {"a": 1}, ["x", 1], [None]])
async def test_input_that_is_no_text_is_refused(client, bad):
    assert_problem(await _post(client, model="multi-head", input=bad), 422, "validation_error")


async def test_nothing_is_truncated_unless_asked(client):
    long = "word " * 20
    assert_problem(await _post(client, model="multi-head", input=long), 422, "input_too_long")
    cut = (await _post(client, model="multi-head", input=long, truncate=True)).json()
    assert cut["usage"]["truncated_tokens"] == 4


async def test_more_texts_than_the_limit_are_refused(client):
    body = assert_problem(
        await _post(client, model="multi-head", input=["x"] * 2049), 422, "validation_error"
    )
    assert body["max_items"] == 2048


async def test_an_unknown_model_is_404(client):
    body = assert_problem(await _post(client, model="gpt", input="x"), 404, "model_not_found")
    assert body["error"]["param"] == "model"


def _sdk(api: Api) -> openai.AsyncOpenAI:
    # The SDK annotates its own fork of httpx and takes either.
    http: Any = httpx.AsyncClient(transport=httpx.ASGITransport(api.app))
    return openai.AsyncOpenAI(
        api_key="unused", base_url="http://test/v1", http_client=http, max_retries=2
    )


async def test_the_openai_sdk_reads_vectors(api):
    async with _sdk(api) as sdk:
        default = await sdk.embeddings.create(model="infini", input=["a", "b c"])
        plain = await sdk.embeddings.create(
            model="infini", input=["a", "b c"], encoding_format="float"
        )
        packed = await sdk.embeddings.create(
            model="infini", input=["a", "b c"], encoding_format="base64"
        )
        listed = [model.id async for model in sdk.models.list()]
        one = await sdk.models.retrieve("infini")
    expected = [fake_vector("a", 8), fake_vector("b c", 8)]
    for answer in (default, plain):
        got = [np.array(item.embedding, dtype=np.float32) for item in answer.data]
        np.testing.assert_array_equal(got, expected)
    # The SDK types it as numbers and hands over what the server sent.
    raw = [str(item.embedding) for item in packed.data]
    np.testing.assert_array_equal([_decoded(text) for text in raw], expected)
    assert default.usage.prompt_tokens == 3
    assert listed == ["multi-head", "infini"]
    assert one.id == "infini"


async def test_the_openai_sdk_reads_errors_and_does_not_repeat_them(api):
    calls = 0

    async def gate() -> None:
        nonlocal calls
        calls += 1
        raise RuntimeError("boom")

    async with _sdk(api) as sdk:
        with pytest.raises(openai.NotFoundError) as missing:
            await sdk.embeddings.create(model="gpt", input="x")
        assert missing.value.code == "model_not_found"
        assert missing.value.param == "model"
        with pytest.raises(openai.UnprocessableEntityError) as tokens:
            await sdk.embeddings.create(model="infini", input=[1, 2])
        assert tokens.value.code == "token_ids_not_supported"
        api.gate = gate
        with pytest.raises(openai.InternalServerError) as broken:
            await sdk.with_options(max_retries=0).embeddings.create(model="infini", input="x")
        assert broken.value.code == "internal_error"
        assert "boom" not in str(broken.value)
    assert calls == 1
