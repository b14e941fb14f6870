"""Routes of text-embeddings-inference, with its own error body."""

from typing import Any

import httpx
import numpy as np
import pytest

from service.api.tei_errors import TEI_PATHS
from service.config_access import RateLimits
from service.errors import OutOfStorage, Unavailable
from tests.service.api.fake_vectors import fake_vector
from tests.service.api.keys import Keys, bearer
from tests.service.api.kit import INFINI, STATELESS, Api

LONG = "word " * 20


async def post(client: httpx.AsyncClient, path: str, **body: Any) -> Any:
    answer = await client.post(path, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def refused(answer: httpx.Response, status: int, kind: str) -> str:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    body = answer.json()
    assert set(body) == {"error", "error_type"}
    assert body["error_type"] == kind
    return str(body["error"])


async def test_embed(client):
    found = await post(client, "/embed", inputs=["one two", "three"])
    expected = [fake_vector(text, 8) for text in ("one two", "three")]
    np.testing.assert_array_equal(np.float32(found), expected)
    assert await post(client, "/embed", inputs="one two", dimensions=8) == found[:1]
    assert (
        await post(client, "/embed", inputs=["one two"], truncation_direction="Right") == found[:1]
    )


async def test_vectors_that_are_not_normalised_are_the_mean_over_the_tokens(client):
    [found] = await post(client, "/embed", inputs="one two", normalize=False)
    [tokens] = await post(client, "/embed_all", inputs="one two")
    pieces = ["[CLS]", "one", "two", "[SEP]"]
    np.testing.assert_array_equal(np.float32(tokens), [fake_vector(piece, 8) for piece in pieces])
    np.testing.assert_allclose(found, np.mean(tokens, 0), atol=1e-6)


async def test_tokenize(client):
    [found] = await post(client, "/tokenize", inputs="one  three")
    assert found == [
        {"id": 101, "text": "[CLS]", "special": True, "start": None, "stop": None},
        {"id": 3, "text": "one", "special": False, "start": 0, "stop": 3},
        {"id": 5, "text": "three", "special": False, "start": 5, "stop": 10},
        {"id": 102, "text": "[SEP]", "special": True, "start": None, "stop": None},
    ]
    [plain] = await post(client, "/tokenize", inputs="one  three", add_special_tokens=False)
    assert plain == found[1:-1]


async def test_similarity(client):
    sentences = ["three", "one two", ""]
    found = await post(
        client, "/similarity", inputs={"source_sentence": "one two", "sentences": sentences}
    )
    source = fake_vector("one two", 8)
    np.testing.assert_allclose(
        found, [fake_vector(one, 8) @ source for one in sentences], atol=1e-6
    )
    assert found[1] == pytest.approx(1, abs=1e-6)


async def test_info_and_which_model_answers(client):
    found = (await client.get("/info")).json()
    assert (found["model_id"], found["model_sha"]) == (STATELESS.id, STATELESS.fingerprint)
    assert found["max_input_length"] == STATELESS.max_chunk_tokens
    assert found["model_type"] == {"embedding": {"pooling": "mean"}}
    assert found["auto_truncate"] is False
    assert (await client.get("/info?model=infini")).json()["model_id"] == INFINI.id
    answer = await client.post("/embed?model=infini", json={"inputs": LONG})
    assert answer.status_code == 200
    refused(await client.post("/embed?model=none", json={"inputs": "x"}), 404, "validation")


async def test_nothing_is_cut_unless_it_is_asked_for(client):
    answer = await client.post("/embed", json={"inputs": LONG})
    assert "more than 16 tokens" in refused(answer, 413, "validation")
    assert len(await post(client, "/embed", inputs=LONG, truncate=True)) == 1
    assert len((await post(client, "/embed_all", inputs=LONG, truncate=True))[0]) == 18
    body = {"inputs": {"source_sentence": LONG, "sentences": ["x"]}}
    refused(await client.post("/similarity", json=body), 413, "validation")
    assert await post(client, "/similarity", **body, parameters={"truncate": True})


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/embed", {}),
        ("/embed", {"inputs": []}),
        ("/embed", {"inputs": [1, 2]}),
        ("/embed", {"inputs": "x", "prompt_name": "query"}),
        ("/embed", {"inputs": "x", "truncation_direction": "Left"}),
        ("/embed", {"inputs": "x", "dimensions": 7}),
        ("/embed_all", {"inputs": "x", "normalize": True}),
        ("/tokenize", {"inputs": "x", "truncate": True}),
        ("/similarity", {"inputs": {"source_sentence": "x", "sentences": []}}),
        ("/similarity", {"inputs": "x"}),
    ],
)
async def test_what_cannot_be_done_is_said(client, path, body):
    refused(await client.post(path, json=body), 422, "validation")


async def test_every_refusal_on_these_routes_has_that_body(client):
    for path in sorted(TEI_PATHS):
        other = client.post if path == "/info" else client.get
        refused(await other(path), 405, "validation")
    refused(await client.post("/embed", content=b"{"), 415, "validation")
    json = {"content-type": "application/json"}
    refused(await client.post("/embed", content=b"{", headers=json), 400, "validation")
    foreign = {"origin": "https://example.org"}
    refused(await client.post("/embed", json={"inputs": "x"}, headers=foreign), 403, "validation")


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (Unavailable("overloaded", "full"), 429, "overloaded"),
        (Unavailable("model_unavailable", "away"), 503, "unhealthy"),
        (OutOfStorage("out_of_storage", "full"), 424, "backend"),
        (RuntimeError("secret"), 424, "backend"),
    ],
)
async def test_failures(api, error, status, kind):
    async def fail() -> None:
        raise error

    api.gate = fail
    transport = httpx.ASGITransport(api.app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        answer = await client.post("/embed", json={"inputs": "x"})
    assert "secret" not in refused(answer, status, kind)
    assert ("retry-after" in answer.headers) == (status in {429, 503})


async def test_refusals_of_strangers_have_that_body(tmp_path):
    keys = Keys(tmp_path)
    key = bearer(keys.add("acme", RateLimits(requests_per_second=0.01)))
    metrics = bearer(keys.add("acme", scope="metrics"))
    api = Api(door=keys.door(), hosts=frozenset({"test"}))
    body = {"inputs": "x"}
    async with api.client() as client:
        answer = await client.post("/embed", json=body)
        assert "lsk_" in refused(answer, 401, "validation")
        assert answer.headers["www-authenticate"] == 'Bearer realm="longstream"'
        answer = await client.post("/embed", json=body, headers=metrics)
        refused(answer, 403, "validation")
        answer = await client.post("/embed", json=body, headers={**key, "host": "elsewhere"})
        refused(answer, 421, "validation")
        answer = await client.post("/embed", json=body, headers={**key, "content-encoding": "br"})
        refused(answer, 415, "validation")
        assert (await client.post("/embed", json=body, headers=key)).status_code == 200
        answer = await client.post("/embed", json=body, headers=key)
        assert "requests per second" in refused(answer, 429, "overloaded")
        assert answer.headers["retry-after"] == "100"
