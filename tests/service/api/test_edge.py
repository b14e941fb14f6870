"""What a request may look like before anybody reads it."""

import asyncio
import base64
import hashlib
import re
from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from service.api.middleware import SECURITY_HEADERS
from service.config_access import EdgeConfig
from service.deployments.address import shared_socket
from service.deployments.http_server import HttpServer
from tests.service.api.kit import PLAIN, Api, assert_problem, events_of, post_stream

LOCAL = frozenset({"localhost", "127.0.0.1", "[::1]"})


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:8000", "127.0.0.1:1", "[::1]", "[::1]:8000", "localhost:"]
)
async def test_names_of_this_machine_are_answered(host):
    async with Api(hosts=LOCAL).client() as client:
        assert (await client.get("/health/live", headers={"host": host})).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example:8000",
        "evil.example:8000@localhost",
        "localhost:8000:8000",
        "localhost:x",
        "localhost:123456",
        "[::1",
        "::1",
        "",
        "localhost ",
        "localhost/",
    ],
)
@pytest.mark.parametrize("path", ["/health/live", "/v1/models", "/metrics", "/"])
async def test_a_name_that_was_made_to_resolve_here_is_refused(host, path):
    async with Api(hosts=LOCAL).client() as client:
        answer = await client.get(path, headers={"host": host})
    assert_problem(answer, 421, "misdirected_request")


async def test_any_name_will_do_where_none_is_listed():
    async with Api(hosts=None).client() as client:
        answer = await client.get("/health/live", headers={"host": "text.example"})
    assert answer.status_code == 200


async def test_a_long_target_is_414(client):
    limit = EdgeConfig().url_bytes
    assert (await client.get("/" + "x" * (limit - 1))).status_code == 404
    for target in ("/" + "x" * limit, "/v1/sessions?after=" + "x" * limit):
        body = assert_problem(await client.get(target), 414, "uri_too_long")
        assert body["max_url_bytes"] == limit


async def test_many_or_large_headers_are_431(client):
    limit = EdgeConfig().headers
    few = [(f"x-{n}", "y") for n in range(limit - 10)]
    assert (await client.get("/health/live", headers=few)).status_code == 200
    many = [(f"x-{n}", "y") for n in range(limit + 1)]
    assert_problem(await client.get("/health/live", headers=many), 431, "headers_too_large")
    large = {"x-large": "y" * EdgeConfig().head_bytes}
    answer = await client.get("/health/live", headers=large)
    assert_problem(answer, 431, "headers_too_large")
    assert answer.headers["connection"] == "close"


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
@pytest.mark.parametrize("coding", ["gzip", "br", "zstd", "deflate", "identity, gzip", "x", '""'])
async def test_encoded_bodies_are_415_on_every_route(client, method, coding):
    for path in ("/v1/sessions/s1/stream", "/v1/sessions", "/nowhere", "/health/live"):
        answer = await client.request(method, path, headers={"content-encoding": coding})
        assert_problem(answer, 415, "unsupported_media_type")


@pytest.mark.parametrize("coding", ["identity", "IDENTITY", "", "identity,identity"])
async def test_identity_is_no_encoding(client, coding):
    answer = await client.get("/health/live", headers={"content-encoding": coding})
    assert answer.status_code == 200


async def test_two_lengths_are_400(client):
    headers = {"transfer-encoding": "chunked", "content-length": "2"}
    answer = await client.post("/v1/embeddings", content=b"{}", headers=headers)
    assert_problem(answer, 400, "invalid_framing")
    assert answer.headers["connection"] == "close"


@pytest.mark.parametrize(
    "path", ["/v1/models", "/v1/sessions/none", "/nowhere", "/health/live", "/openapi.json"]
)
async def test_every_answer_has_the_security_headers(client, path):
    answer = await client.get(path)
    assert {name: answer.headers.get(name) for name in SECURITY_HEADERS} == SECURITY_HEADERS


async def _paused(pieces: list[bytes], seconds: float) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece
        await asyncio.sleep(seconds)


async def test_a_stream_that_falls_silent_ends_with_an_event():
    api = Api(edge=EdgeConfig(idle_seconds=0.1))
    async with api.client() as client:
        await client.post("/v1/sessions", json={"model": "infini", "id": "s1"})
        body = _paused([b"One sentence here. And another one. ", b"x" * 50], 30)
        answer = await asyncio.wait_for(post_stream(client, body, "?chunk_chars=20"), 5)
    *chunks, last = events_of(answer)
    assert [event["event"] for event in chunks] == ["chunk"] * len(chunks)
    assert (last["event"], last["status"], last["next_seq"]) == ("error", 408, len(chunks))
    assert last["error"]["code"] == "request_timeout"
    assert b'stream_errors_total{code="408"} 1.0' in api.metrics.exposition()


async def test_a_stream_that_never_begins_is_408():
    async with Api(edge=EdgeConfig(idle_seconds=0.1)).client() as client:
        await client.post("/v1/sessions", json={"model": "infini", "id": "s1"})
        answer = await asyncio.wait_for(post_stream(client, _paused([b"x"], 30)), 5)
    assert_problem(answer, 408, "request_timeout")
    assert answer.headers["connection"] == "close"


async def test_a_slow_encoder_is_no_slow_sender():
    async def gate() -> None:
        await asyncio.sleep(0.15)

    api = Api(edge=EdgeConfig(idle_seconds=0.1), gate=gate)
    async with api.client() as client:
        await client.post("/v1/sessions", json={"model": "infini", "id": "s1"})
        body = _paused([b"One sentence here. And another one. "] * 3, 0.01)
        answer = await post_stream(client, body, "?chunk_chars=20", PLAIN)
    assert events_of(answer)[-1]["event"] == "done"


async def test_a_browser_finds_nothing_to_run_from_elsewhere(client):
    page = await client.get("/")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "connect-src 'self'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    (script,) = re.findall(r"<script>(.*?)</script>", page.text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    assert not re.search(r"\son\w+=|javascript:|<script[^>]", page.text)


@pytest.mark.parametrize("version", ["2.0", "0.9", "9.9"])
async def test_another_http_is_400(api, version):
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await api.app({**scope, "http_version": version}, receive, send)

    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://test"
    ) as client:
        answer = await client.get("/health/live")
    assert_problem(answer, 400, "invalid_framing")
    assert answer.headers["connection"] == "close"


@pytest.mark.parametrize(
    ("target", "host", "status"),
    [
        (b"http://localhost:8000/v1/models?x=1", "evil.example", 200),
        (b"HTTPS://LOCALHOST/v1/%6Dodels", "localhost", 200),
        (b"http://localhost", "localhost", 200),
        (b"http://localhost/nowhere", "localhost", 404),
        (b"http://evil.example/v1/models", "localhost", 421),
        (b"http://localhost@evil.example/v1/models", "localhost", 421),
        (b"http:///v1/models", "localhost", 404),
        (b"/http://localhost/v1/models", "localhost", 404),
    ],
)
async def test_a_target_may_name_the_host_and_then_stands_for_it(target, host, status):
    answer = await over_a_socket(
        b"GET %b HTTP/1.1\r\nhost: %b\r\nconnection: close\r\n\r\n" % (target, host.encode())
    )
    assert answer.startswith(b"HTTP/1.1 %d " % status)


async def over_a_socket(request: bytes) -> bytes:
    """Return the answer of a whole server: clients in one process send no such targets."""
    listener = shared_socket("127.0.0.1", 0)
    server = HttpServer(Api(hosts=LOCAL).app, listener, 5)
    port = listener.getsockname()[1]
    await server.start()
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request)
        answer = await reader.read()
        writer.close()
    finally:
        await server.stop()
    return answer
