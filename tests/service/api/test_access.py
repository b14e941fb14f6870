"""Nobody passes without a key, by any route, but to ask whether the service lives."""

import base64
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from fastapi.routing import APIRoute
from openai import AsyncOpenAI, AuthenticationError

from service.api.access import OPEN_PATHS
from service.api.app import _ROUTERS
from service.api.tei_errors import TEI_PATHS
from service.deployments.address import shared_socket
from service.deployments.http_server import HttpServer
from tests.service.api.keys import Keys, bearer
from tests.service.api.kit import Api, assert_problem

ROUTES = sorted(
    (route.path.replace("{", "").replace("}", ""), method)
    for router in _ROUTERS
    for route in router.routes
    if isinstance(route, APIRoute)
    for method in route.methods or ()
)
EXTRA = [
    ("/openapi.json", "GET"),
    ("/docs", "GET"),
    ("/nowhere", "GET"),
    ("/v1/embeddings", "BREW"),
]
CLOSED = [pair for pair in [*ROUTES, *EXTRA] if pair[0] not in OPEN_PATHS]
OPEN_LOOKALIKES = ["/health/live/", "/health/live/x", "/health", "//health/live", "/HEALTH/LIVE"]


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return Keys(tmp_path)


@pytest.fixture
def key(keys: Keys) -> str:
    return keys.add("acme")


@pytest.fixture
def locked(keys: Keys, key: str) -> Api:
    return Api(door=keys.door())


@pytest.fixture
async def client(locked: Api) -> AsyncIterator[httpx.AsyncClient]:
    async with locked.client() as client:
        yield client


@pytest.mark.parametrize(("path", "method"), CLOSED)
async def test_every_route_is_closed(client, locked, path, method):
    answer = await client.request(method, path)
    if path in TEI_PATHS:
        assert answer.json()["error_type"] == "validation"
    elif method != "HEAD":
        body = assert_problem(answer, 401, "invalid_api_key")
        assert answer.headers["connection"] == "close"
        assert body["error"]["type"] == "invalid_request_error"
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith('Bearer realm="longstream"')
    assert answer.headers["cache-control"] == "no-store"
    assert b'rejected_total{reason="invalid_api_key"} 1.0' in locked.metrics.exposition()


@pytest.mark.parametrize("path", sorted(OPEN_PATHS))
async def test_probes_need_no_key(client, path):
    assert (await client.get(path)).status_code == 200


@pytest.mark.parametrize("path", OPEN_LOOKALIKES)
async def test_what_looks_like_a_probe_is_closed(client, path):
    assert_problem(await client.get(f"http://test{path}"), 401, "invalid_api_key")


async def test_a_probe_is_only_read(client):
    assert_problem(await client.post("/health/live"), 401, "invalid_api_key")


async def test_either_header_opens(client, key):
    for headers in (
        bearer(key),
        {"authorization": f"bearer {key}"},
        {"authorization": f"BEARER  {key} "},
        {"x-api-key": key},
        {**bearer(key), "x-api-key": key},
    ):
        assert (await client.get("/v1/models", headers=headers)).status_code == 200, headers


async def test_what_opens_nothing(client, key):
    secret = key.split("_", 2)[2]
    for headers in (
        {"authorization": key},
        {"authorization": f"Token {key}"},
        {"authorization": "Bearer"},
        {"authorization": "Bearer "},
        {"authorization": f"Bearer {secret}"},
        {"authorization": f"Bearer {key[:-1]}"},
        {"authorization": f"Bearer {key} {key}"},
        {"authorization": f"Bearer {key.swapcase()}"},
        {"authorization": "Bearer " + "x" * 20_000},
        {"authorization": b"Bearer \xff\xfe"},
        {"x-api-key": ""},
        {"x-api-key": f"Bearer {key}"},
        {**bearer(key), "x-api-key": "other"},
        {"cookie": f"authorization=Bearer {key}"},
        _basic(key),
    ):
        answer = await client.get("/v1/models", headers=headers)
        assert_problem(answer, 401, "invalid_api_key")
        assert secret not in answer.text
    assert (await client.get(f"/v1/models?api_key={key}")).status_code == 401


async def test_two_different_keys_are_none(client, keys, key):
    headers = [("authorization", f"Bearer {key}"), ("authorization", f"Bearer {keys.add('b')}")]
    assert_problem(await client.get("/v1/models", headers=headers), 401, "invalid_api_key")


async def test_a_refused_body_is_not_read(client, locked):
    async def endless() -> AsyncIterator[bytes]:
        pytest.fail("nobody asked for it")
        yield b""

    answer = await client.post("/v1/embeddings", content=endless())
    assert_problem(answer, 401, "invalid_api_key")


async def test_a_metrics_key_opens_the_metrics_only(keys):
    metrics = bearer(keys.add("ops", scope="metrics"))
    async with Api(door=keys.door()).client() as client:
        for path in ("/metrics", "/"):
            assert (await client.get(path, headers=metrics)).status_code == 200
        for path in ("/v1/models", "/v1/sessions", "/openapi.json"):
            answer = await client.get(path, headers=metrics)
            assert_problem(answer, 403, "insufficient_scope")


def _basic(key: str) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(f"any:{key}".encode()).decode()}


async def test_a_browser_may_show_a_key_as_a_password_for_the_metrics(client, key):
    challenges = (await client.get("/")).headers.get_list("www-authenticate")
    assert challenges == ['Bearer realm="longstream"', 'Basic realm="longstream", charset="UTF-8"']
    for path in ("/", "/metrics"):
        assert (await client.get(path, headers=_basic(key))).status_code == 200
        for wrong in ("Basic", "Basic !", "Basic /w==", _basic("x")["authorization"]):
            answer = await client.get(path, headers={"authorization": wrong})
            assert_problem(answer, 401, "invalid_api_key")


async def test_openais_client_reads_it(locked, key):
    listener = shared_socket("127.0.0.1", 0)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
    server = HttpServer(locked.app, listener, 5)
    await server.start()
    async with AsyncOpenAI(base_url=url, api_key=key) as good:
        answer = await good.embeddings.create(model="infini", input="x")
        assert len(answer.data) == 1
    async with AsyncOpenAI(base_url=url, api_key="sk-wrong") as wrong:
        with pytest.raises(AuthenticationError) as caught:
            await wrong.embeddings.create(model="infini", input="x")
    assert caught.value.code == "invalid_api_key"
    await server.stop()
