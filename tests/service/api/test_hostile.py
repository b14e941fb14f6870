"""Bodies and paths nobody sends by accident: each is a 4xx, quickly, and echoes nothing."""

import asyncio
import gc
import gzip
import logging
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import httpx
import pytest

from service.config import LimitsConfig
from tests.service.api.fake import FakeSession
from tests.service.api.hostile_bodies import BODIES, home
from tests.service.api.kit import Api, assert_problem

JSON = {"content-type": "application/json"}
CPU_GUARD_S = 0.5
"""Measured, the dearest body costs a tenth of a second of a processor, most a thousandth."""
HANG_GUARD_S = 30.0
"""Only finds what waits for ever: how long a cheap body takes is the neighbours' affair."""
log = logging.getLogger(__name__)
MARKER = "SECRET-MARKER"


@pytest.fixture(autouse=True, scope="module")
def only_its_own_garbage() -> Iterator[None]:
    """Leave what earlier tests made out of collections: with a whole run's objects one takes most of a second."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@contextmanager
def cheap(what: str) -> Iterator[None]:
    """See that what is done inside takes little of a processor, whatever else this machine is doing."""
    used, began = time.process_time(), time.perf_counter()
    yield
    used, took = time.process_time() - used, time.perf_counter() - began
    log.info("%s: %.1f ms of a processor in %.1f ms", what, used * 1e3, took * 1e3)
    assert used < CPU_GUARD_S
    assert took < HANG_GUARD_S


ROUTES = (
    "/v1/embeddings",
    "/v1/encode",
    "/v1/attention",
    "/v1/tokenize",
    "/v1/sessions/s1/chunks",
    "/v1/sessions/s1/query",
    "/v1/sessions/s1/complete",
    "/v1/sessions",
    "/v1/sessions/s1/fork",
    "/v1/sessions/stateless",
    "/v1/contextualizedembeddings",
    "/v2/embed",
)
# The bodies that are optional.
OPTIONAL = {("/v1/sessions/s1/complete", "empty"), ("/v1/sessions/s1/fork", "empty")}


CASES = [(path, name) for path in ROUTES for name in BODIES if (path, name) not in OPTIONAL]


@pytest.mark.usefixtures("session")
@pytest.mark.parametrize(("path", "name"), CASES)
async def test_hostile_bodies(client, api, path, name):
    body, status = BODIES[name]
    with cheap(f"{name} to {path}"):
        answer = await client.post(path, content=body, headers=JSON)
    if path == home(body):
        assert answer.status_code == status
    code = {400: "invalid_request", 413: "payload_too_large"}.get(answer.status_code)
    assert answer.status_code in {400, 413, 422}
    problem = assert_problem(answer, answer.status_code, code or answer.json()["error"]["code"])
    assert len(problem.get("errors", [])) <= 20
    assert len(answer.content) < 8_000
    assert api.infini.session("public", "s1") == FakeSession()


@pytest.mark.parametrize("name", BODIES)
async def test_hostile_bodies_where_errors_have_another_shape(client, name):
    with cheap(f"{name} to /embed"):
        answer = await client.post("/embed", content=BODIES[name][0], headers=JSON)
    assert answer.status_code in {400, 413, 422}
    assert answer.json()["error_type"] == "validation"
    assert len(answer.content) < 2_000


@pytest.mark.parametrize("member", ["parameters", "inputs"])
async def test_unknown_members_of_nested_objects_are_named_and_cheap(client, member):
    good = b'{"source_sentence":"x","sentences":["y"]}'
    junk = BODIES["230k unknown keys"][0][:-200_000].rpartition(b",")[0] + b"}"
    other = b'"inputs":' + good + b"," if member == "parameters" else b""
    with cheap(f"unknown members of {member}"):
        answer = await client.post(
            "/similarity",
            content=b"{" + other + b'"%s":%s}' % (member.encode(), junk),
            headers=JSON,
        )
    assert answer.status_code == 422
    assert f"{member}." in answer.json()["error"]


async def test_the_garbage_collector_goes_on_after_good_and_bad_bodies(client):
    for text in (b'"x"', b'[["x"]]', b"NaN"):
        body = b'{"model":"infini","input":' + text + b"}"
        await client.post("/v1/embeddings", content=body, headers=JSON)
        assert gc.isenabled()


async def test_a_wrong_member_deep_inside_is_told_with_its_place(client):
    inputs = [
        {"content": [{"type": "text", "text": "x"}]},
        {"content": [{"type": "text", "txt": 1}]},
    ]
    body = {"model": "infini", "input_type": "classification", "inputs": inputs}
    problem = assert_problem(await client.post("/v2/embed", json=body), 422, "validation_error")
    assert problem["errors"][0]["loc"] == ["inputs", 1, "content", 0, "txt"]


async def test_a_long_content_type_is_refused_unread(client):
    for junk in (";" * 30_000, 'a="' + ";" * 30_000):
        headers = {"content-type": f"application/json; {junk}"}
        with cheap("a long content type"):
            answer = await client.post("/v1/embeddings", content=b"{}", headers=headers)
        assert_problem(answer, 415, "unsupported_media_type")


async def test_the_guard_finds_what_is_dear():
    def work() -> None:
        with cheap("a busy loop"):
            end = time.process_time() + CPU_GUARD_S
            while time.process_time() < end:
                pass

    with pytest.raises(AssertionError):
        work()


async def test_metadata_cannot_be_expensive(client):
    for junk in (b"[" + b"{}," * 20_000 + b"{}]", b"[" * 150 + b"]" * 150):
        body = b'{"model":"infini","metadata":{"a":' + junk + b"}}"
        with cheap("metadata"):
            answer = await client.post("/v1/sessions", content=body, headers=JSON)
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
        {**JSON, "content-encoding": "identity, br"},
    ],
)
async def test_other_media_types_are_415(client, headers):
    body = gzip.compress(b"{}" * 1000)
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    answer = await client.post("/v1/embeddings", content=body, headers=raw)
    assert_problem(answer, 415, "unsupported_media_type")


async def test_identity_is_no_encoding(client):
    headers = {**JSON, "content-encoding": "identity"}
    body = b'{"model":"infini","input":"x"}'
    answer = await client.post("/v1/embeddings", content=body, headers=headers)
    assert answer.status_code == 200


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
        "/v1/sessions/" + "x" * 8_000,
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
