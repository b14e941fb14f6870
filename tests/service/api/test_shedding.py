"""A flood is refused at little cost, and nobody else is."""

from collections.abc import AsyncIterator

import orjson
import pytest

from service.errors import RoundFull
from tests.service.api.kit import Api, assert_problem
from tests.service.expositions import value

JSON = {"content-type": "application/json"}
FULL = RoundFull("overloaded", "Too many tokens.", extras={"retry_after_s": 7})


def embeddings(model: str, **more: object) -> bytes:
    return orjson.dumps({"input": "a text", "model": model, **more})


@pytest.fixture
def full(api: Api) -> Api:
    api.infini.refusal = FULL
    return api


@pytest.mark.parametrize("path", ["/v1/embeddings", "/v1/encode", "/v2/embed"])
async def test_what_a_full_model_is_asked_is_refused_before_it_is_parsed(client, full, path):
    asked = []
    full.gate = lambda: asked.append(1)
    answer = await client.post(path, content=b'{"model" : "infini", no JSON', headers=JSON)
    problem = assert_problem(answer, 503, "overloaded")
    assert (answer.headers["retry-after"], problem["instance"]) == ("7", path)
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert not asked


async def test_it_is_counted_and_not_logged(client, full, capsys):
    for _ in range(3):
        await client.post("/v1/embeddings", content=embeddings("infini"), headers=JSON)
    text = full.metrics.exposition()
    named = {"route": "/v1/embeddings", "method": "POST", "code": "503"}
    assert value(text, "http_requests_total", **named) == 3
    assert value(text, "rejected_total", reason="overloaded") == 3
    assert "[info" not in capsys.readouterr().out


@pytest.mark.parametrize(
    "body",
    [
        embeddings("multi-head"),
        # A text may speak of models.
        embeddings("multi-head", user='{"model":"infini"}'),
        embeddings("multi-head", user='\\"model":"infini"'),
        orjson.dumps({"input": "x" * 200_000, "model": "multi-head", "truncate": True}),
    ],
)
async def test_another_model_is_served(client, full, body):
    answer = await client.post("/v1/embeddings", content=body, headers=JSON)
    assert answer.status_code == 200


async def test_what_needs_no_forward_pass_is_served(client, full):
    assert (await client.post("/v1/tokenize", content=embeddings("infini"))).status_code != 503
    assert (await client.get("/v1/models")).status_code == 200
    assert (await client.get("/v1/embeddings")).status_code == 405


async def test_what_names_its_model_late_is_refused_by_the_model(api, client):
    async def refuse() -> None:
        raise FULL

    api.infini.refusal, api.gate = FULL, refuse

    async def pieces() -> AsyncIterator[bytes]:
        yield b'{"input":"a text",'
        yield b'"model":"infini"}'

    answer = await client.post("/v1/embeddings", content=pieces(), headers=JSON)
    assert_problem(answer, 503, "overloaded")


async def test_once_there_is_room_it_is_served(client, full):
    full.infini.refusal = None
    answer = await client.post("/v1/embeddings", content=embeddings("infini"), headers=JSON)
    assert answer.status_code == 200
