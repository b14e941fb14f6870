"""Bodies and paths nobody sends by accident: each is a 4xx, quickly, and echoes nothing."""

import asyncio
import gzip
import itertools
import logging
import string
import time
from collections.abc import AsyncIterator

import httpx
import pytest

from service.config import LimitsConfig
from tests.service.api.kit import Api, assert_problem

JSON = {"content-type": "application/json"}
HANG_GUARD_S = 1.0
log = logging.getLogger(__name__)
MARKER = "SECRET-MARKER"


def _keys(count: int) -> bytes:
    names = itertools.islice(itertools.product(string.ascii_letters, repeat=4), count)
    return b"{" + b",".join(b'"%s":1' % "".join(name).encode() for name in names) + b"}"


def _embed(value: bytes) -> bytes:
    return b'{"model":"infini","input":' + value + b"}"


def _list(item: bytes, count: int) -> bytes:
    return b"[" + b",".join([item] * count) + b"]"


def _returning(item: bytes, count: int) -> bytes:
    return b'{"chunks":["x"],"return":' + _list(item, count) + b"}"


def _home(body: bytes) -> str:
    """The route that a body is made for; the others refuse it too, maybe for another reason."""
    if b'"layers"' in body[:64]:
        return "/v1/attention"
    return "/v1/sessions/s1/chunks" if body.startswith(b'{"chunks"') else "/v1/embeddings"


BODIES = {
    "empty": (b"", 400),
    "null": (b"null", 422),
    "number": (b"1", 422),
    "array": (b"[]", 422),
    "torn": (b'{"model":', 400),
    "trailing": (_embed(b'"x"') + b" x", 400),
    "nan": (_embed(b"NaN"), 400),
    "infinity": (_embed(b"-Infinity"), 400),
    "1e400": (_embed(b"1e400"), 422),
    "5000 digits": (_embed(b"9" * 5000), 400),
    "lone surrogate": (_embed(b'"\\ud800"'), 400),
    "raw surrogate": (_embed(b'"\xed\xa0\x80"'), 400),
    "bad utf-8": (_embed(b'"\xff"'), 400),
    "bad utf-8 key": (b'{"\xff":1}', 400),
    "raw nul": (_embed(b'"\x00"'), 400),
    "byte order mark": (b"\xef\xbb\xbf" + _embed(b'"x"'), 400),
    "utf-16": (_embed(b'"x"').decode().encode("utf-16"), 400),
    "repeated key": (b'{"model":"infini","input":"a","input":"b"}', 400),
    "170k repeated keys": (b"{" + b'"model":"x",' * 170_000 + b'"input":"a"}', 400),
    "unknown key": (b'{"model":"infini","input":"a","inptu":1}', 422),
    "230k unknown keys": (_keys(230_000), 422),
    "300k unknown keys": (_keys(300_000), 413),
    "100k deep arrays": (_embed(b"[" * 100_000 + b"]" * 100_000), 400),
    "100k deep objects": (b'{"a":' * 100_000, 400),
    "1M numbers": (_embed(_list(b"1", 1_000_000)), 422),
    "a text, then 1M numbers": (_embed(b'["x",' + b"1," * 1_000_000 + b"1]"), 422),
    "650k empty texts": (_embed(_list(b'""', 650_000)), 422),
    "690k empty objects": (_embed(b'["x",' + b"{}," * 690_000 + b"1]"), 422),
    "10 MB": (_embed(b'"' + b"x" * 10_000_000 + b'"'), 413),
    "wrong types": (b'{"model":1,"input":"x","truncate":"yes","dimensions":"8"}', 422),
    "huge model name": (b'{"model":"' + b"x" * 1_000_000 + b'","input":"x"}', 422),
    "300k numbers for chunks": (b'{"chunks":' + _list(b"1", 300_000) + b"}", 422),
    "650k empty chunks": (b'{"chunks":' + _list(b'""', 650_000) + b"}", 422),
    "100k deep chunks": (b'{"chunks":' + b"[" * 100_000 + b"]" * 100_000 + b"}", 400),
    "300k unknown members": (_returning(b'"x"', 300_000), 422),
    "200k known members": (_returning(b'"tokens"', 200_000), 422),
    "300k numbers for members": (_returning(b"1", 300_000), 422),
    "500k objects for members": (_returning(b"{}", 500_000), 422),
    "an object for a text": (b'{"chunks":{"a":' + _list(b"1", 300_000) + b"}}", 422),
    "300k layers": (b'{"model":"infini","layers":' + _list(b"0", 300_000) + b',"input":"x"}', 422),
    "huge encoding": (b'{"chunks":["x"],"encoding_format":"' + b"x" * 1_000_000 + b'"}', 422),
}
ROUTES = (
    "/v1/embeddings",
    "/v1/encode",
    "/v1/attention",
    "/v1/tokenize",
    "/v1/sessions/s1/chunks",
    "/v1/sessions",
)


@pytest.mark.usefixtures("session")
@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("name", BODIES)
async def test_hostile_bodies(client, api, path, name):
    body, status = BODIES[name]
    begin = time.perf_counter()
    answer = await client.post(path, content=body, headers=JSON)
    seconds = time.perf_counter() - begin
    log.info("%s to %s: %d in %.1f ms", name, path, answer.status_code, seconds * 1e3)
    if path == _home(body):
        assert answer.status_code == status
    code = {400: "invalid_request", 413: "payload_too_large"}.get(answer.status_code)
    assert answer.status_code in {400, 413, 422}
    problem = assert_problem(answer, answer.status_code, code or answer.json()["error"]["code"])
    assert len(problem.get("errors", [])) <= 20
    assert len(answer.content) < 8_000
    assert seconds < HANG_GUARD_S
    assert api.infini.session("public", "s1").texts == []


async def test_metadata_cannot_be_expensive(client):
    for junk in (b"[" + b"{}," * 20_000 + b"{}]", b"[" * 150 + b"]" * 150):
        body = b'{"model":"infini","metadata":{"a":' + junk + b"}}"
        begin = time.perf_counter()
        answer = await client.post("/v1/sessions", content=body, headers=JSON)
        assert time.perf_counter() - begin < HANG_GUARD_S
        assert answer.status_code in {201, 413}
    repeated = b'{"model":"infini","metadata":{"a":1,"a":2}}'
    answer = await client.post("/v1/sessions", content=repeated, headers=JSON)
    assert_problem(answer, 400, "invalid_request")


async def test_validation_errors_do_not_echo_the_input(client, capsys):
    body = {"model": "infini", "input": [1.5, MARKER], "user": {MARKER: 1}}
    answer = await client.post("/v1/embeddings", json=body)
    assert_problem(answer, 422, "validation_error")
    assert MARKER not in answer.text
    assert (
        await client.post("/v1/embeddings", json={"model": "infini", "input": MARKER})
    ).is_success
    assert MARKER not in capsys.readouterr().out


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"content-type": "text/plain"},
        {"content-type": "application/x-www-form-urlencoded"},
        {"content-type": "application/json; charset=utf-16"},
        {"content-type": "\xff"},
        {**JSON, "content-encoding": "gzip"},
        {**JSON, "content-encoding": "identity"},
    ],
)
async def test_other_media_types_are_415(client, headers):
    body = gzip.compress(b"{}" * 1000)
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    answer = await client.post("/v1/embeddings", content=body, headers=raw)
    assert_problem(answer, 415, "unsupported_media_type")


@pytest.mark.parametrize("length", ["-1", "x", "²", "1e3"])
async def test_a_content_length_that_is_no_number_is_400(client, length):
    raw = [
        (b"content-type", b"application/json"),
        (b"content-length", length.encode("latin-1")),
    ]
    answer = await client.post("/v1/embeddings", content=b"{}", headers=raw)
    assert_problem(answer, 400, "invalid_request")


async def test_a_content_length_of_5000_digits_is_413(client):
    headers = {**JSON, "content-length": "9" * 5000}
    answer = await client.post("/v1/embeddings", content=b"{}", headers=headers)
    body = assert_problem(answer, 413, "payload_too_large")
    assert body["max_body_bytes"] == LimitsConfig().body_bytes


async def test_a_body_without_length_is_capped_and_only_partly_drained(client, api):
    pulled = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal pulled
        while True:
            pulled += 1024**2
            yield b"x" * 1024**2

    answer = await client.post("/v1/embeddings", content=endless(), headers=JSON)
    assert_problem(answer, 413, "payload_too_large")
    assert 16 * 1024**2 <= pulled <= 18 * 1024**2
    assert b'rejected_total{reason="payload_too_large"} 1.0' in api.metrics.exposition()


async def test_a_body_that_does_not_come_is_408():
    api = Api(limits=LimitsConfig(body_seconds=0.05))

    async def slow() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.sleep(60)

    async with api.client() as client:
        answer = await client.post("/v1/embeddings", content=slow(), headers=JSON)
    assert_problem(answer, 408, "request_timeout")
    assert answer.headers["connection"] == "close"
    assert b'rejected_total{reason="request_timeout"} 1.0' in api.metrics.exposition()


@pytest.mark.parametrize(
    "path",
    [
        "/v1/sessions/..%2f..%2fetc%2fpasswd",
        "/v1/sessions/%2e%2e",
        "/v1/sessions/%00",
        "/v1/sessions/a%2fb",
        "/v1/sessions/%ff%fe",
        "/v1/sessions/" + "x" * 60_000,
        "/v1/sessions/\uff53\uff45\uff53\uff53",
        "/v1/models/..%2f",
        "/v1/models/%0d%0aX: y",
        "/v1/sessions/",
        "/v1/embeddings/",
        "/../../etc/passwd",
        "/docs",
        "/redoc",
    ],
)
async def test_hostile_paths_are_404(client, path):
    answer = await client.get(path)
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["error"]["code"].endswith("not_found")


async def test_unknown_methods_are_405_with_allow(client):
    answer = await client.request("BREW", "/v1/embeddings")
    assert_problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "POST"


async def test_a_client_that_leaves_within_its_body_is_no_error(api, capsys):
    async def receive() -> dict[str, str]:
        return {"type": "http.disconnect"}

    sent = []

    async def send(message: object) -> None:
        sent.append(message)

    request = httpx.Request("POST", "http://test/v1/embeddings", headers=JSON)
    scope = {
        "type": "http",
        "method": "POST",
        "path": request.url.path,
        "raw_path": request.url.raw_path,
        "query_string": b"",
        "headers": [(b"content-type", b"application/json")],
        "http_version": "1.1",
        "root_path": "",
        "scheme": "http",
    }
    await api.app(scope, receive, send)
    assert sent == []
    log = capsys.readouterr().out
    assert "code=499" in log
    assert "unhandled_error" not in log
