from tests.service.api.kit import assert_problem


async def test_models_are_listed_in_order_with_our_members(client):
    body = (await client.get("/v1/models")).json()
    assert body["object"] == "list"
    assert [model["id"] for model in body["data"]] == ["multi-head", "infini"]
    assert body["data"][1] == {
        "id": "infini",
        "object": "model",
        "created": 0,
        "owned_by": "longstream",
        "attention": "infini",
        "dimensions": 8,
        "max_chunk_tokens": 16,
        "memory_bytes": 304_128,
        "fingerprint": "b" * 64,
        "base": "base",
        "checkpoint": "adapter",
        "evaluation": {"ndcg": 0.5},
        "precision": "fp32",
    }
    assert (await client.get("/v1/models/infini")).json() == body["data"][1]


async def test_an_unknown_model_is_404(client):
    assert_problem(await client.get("/v1/models/gpt"), 404, "model_not_found")
