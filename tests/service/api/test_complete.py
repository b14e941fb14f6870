import base64
from dataclasses import replace

import httpx
import numpy as np
import pytest

from service.config import LimitsConfig
from tests.service.api.fake_vectors import fake_vector
from tests.service.api.kit import INFINI, PLAIN, Api, assert_problem, events_of, post_stream

PATH = "/v1/sessions/s1/complete"
TEXTS = ["one", "two words", ""]


async def _append(client: httpx.AsyncClient, *chunks: str, **more: object) -> httpx.Response:
    return await client.post("/v1/sessions/s1/chunks", json={"chunks": chunks, **more})


async def _revisit(client: httpx.AsyncClient, *chunks: str, **more: object) -> httpx.Response:
    body = {"revisit": True, "first_seq": 0, "chunks": chunks, **more}
    return await client.post(PATH, json=body)


@pytest.fixture
async def read(session, client) -> None:
    """Session `s1` has read `TEXTS`."""
    await _append(client, *TEXTS)


@pytest.mark.usefixtures("read")
@pytest.mark.parametrize(
    "request_body", [{}, {"json": {}}, {"json": {"revisit": False}}, {"content": b""}]
)
async def test_the_body_is_optional_and_the_answer_is_the_session(client, request_body):
    answer = await client.post(PATH, **request_body)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert (body["object"], body["chunks"]) == ("complete", [])
    assert body["usage"] == {"prompt_tokens": 0, "total_tokens": 0, "truncated_tokens": 0}
    session = body["session"]
    assert (session["completed"], session["status"], session["next_seq"]) == (True, "open", 3)
    assert session["memory_bytes"] == INFINI.memory_bytes
    assert session == (await client.get("/v1/sessions/s1")).json()
    assert answer.headers["etag"] == '"fake.4"' == f'"{session["etag"]}"'
    head = await client.head("/v1/sessions/s1")
    for shown in (answer, head):
        assert shown.headers["session-completed"] == "true"
        assert shown.headers["next-seq"] == "3"
    assert (await client.post(PATH, **request_body)).json() == body
    listed = (await client.get("/v1/sessions")).json()["data"]
    assert listed == [session]


@pytest.mark.usefixtures("read")
async def test_it_takes_no_more_chunks_and_replays_the_old_ones(client):
    before = (await client.get("/v1/sessions/s1/embedding")).json()
    await client.post(PATH)
    for more in ({}, {"first_seq": 3}, {"first_seq": 9}):
        refused = await _append(client, "more", **more)
        assert assert_problem(refused, 409, "session_completed")["next_seq"] == 3
        assert refused.headers["x-should-retry"] == "false"
    again = await _append(client, *TEXTS, first_seq=0)
    assert again.json()["replayed"] is True
    assert (await client.get("/v1/sessions/s1/embedding")).json() == before


@pytest.mark.usefixtures("session")
async def test_a_stream_replays_what_it_has_and_is_refused_the_rest(client):
    await post_stream(client, b"One. Two. ", "?chunk_chars=5")
    await client.post(PATH)
    for query in ("", "?first_seq=2"):
        for text in (b"Three.", b""):
            refused = await post_stream(client, text, query)
            assert_problem(refused, 409, "session_completed")
    *chunks, done = events_of(
        await post_stream(client, b"One. Two. ", "?chunk_chars=5&first_seq=0")
    )
    assert [chunk["replayed"] for chunk in chunks] == [True, True]
    assert (done["event"], done["next_seq"]) == ("done", 2)
    first, second, error = events_of(
        await post_stream(client, b"One. Two. Six.", "?chunk_chars=5&first_seq=0")
    )
    assert first["replayed"] is second["replayed"] is True
    assert (error["event"], error["status"], error["next_seq"]) == ("error", 409, 2)
    assert error["error"]["code"] == "session_completed"
    assert events_of(await post_stream(client, b"", "?first_seq=0"))[0]["chunks"] == 0


@pytest.mark.usefixtures("session")
async def test_a_completion_during_a_stream_is_an_event_that_says_how_far_it_came(client, api):
    calls = 0

    async def gate() -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            await api.catalog.complete("public", "s1")

    api.gate = gate
    *chunks, error = events_of(await post_stream(client, b"One. Two. Six.", "?chunk_chars=5"))
    assert [chunk["seq"] for chunk in chunks] == [0, 1]
    assert (error["error"]["code"], error["next_seq"]) == ("session_completed", 2)
    assert b'stream_errors_total{code="409"} 1.0' in api.metrics.exposition()


@pytest.mark.usefixtures("read")
async def test_a_second_look_completes_and_answers_per_chunk(client, api):
    answer = await _revisit(client, *TEXTS)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    past = api.infini.session("public", "s1").past
    for seq, (chunk, text) in enumerate(zip(body["chunks"], TEXTS, strict=True)):
        assert set(chunk) == {"seq", "embedding", "tokens"}
        assert (chunk["seq"], chunk["tokens"]) == (seq, len(text.split()))
        expected = fake_vector(f"{past} {text}", 8)
        np.testing.assert_array_equal(np.float32(chunk["embedding"]), expected)
    assert body["usage"] == {"prompt_tokens": 9, "total_tokens": 9, "truncated_tokens": 0}
    assert body["session"]["completed"] is True
    assert "infer;dur=3.000" in answer.headers["server-timing"]
    part = (await _revisit(client, TEXTS[1], first_seq=1, encoding_format="base64")).json()
    [chunk] = part["chunks"]
    assert chunk["seq"] == 1
    packed = np.frombuffer(base64.b64decode(chunk["embedding"]), "<f4")
    np.testing.assert_array_equal(packed, np.float32(body["chunks"][1]["embedding"]))
    assert part["session"] == body["session"]


@pytest.mark.usefixtures("session")
async def test_a_session_that_read_nothing_has_nothing_to_look_at(client):
    missing = await _revisit(client, "x")
    assert assert_problem(missing, 409, "sequence_conflict")["expected_seq"] == 0
    body = (await _revisit(client)).json()
    assert (body["chunks"], body["session"]["completed"]) == ([], True)


@pytest.mark.usefixtures("read")
async def test_other_texts_are_409_with_the_numbers_and_complete_nothing(client):
    for chunks, seq in ((["other"], 0), (["one", "other"], 1), ([*TEXTS, "never read"], 3)):
        refused = await _revisit(client, *chunks)
        body = assert_problem(refused, 409, "sequence_conflict")
        assert (body["expected_seq"], body["provided_seq"], body["next_seq"]) == (3, seq, 3)
        assert refused.headers["x-should-retry"] == "false"
    assert (await client.get("/v1/sessions/s1")).json()["completed"] is False


@pytest.mark.usefixtures("read")
@pytest.mark.parametrize("body", [{}, {"revisit": True, "first_seq": 0, "chunks": ["one"]}])
async def test_it_is_conditional_until_it_is_done(client, body):
    async def complete(tag: str) -> httpx.Response:
        answer: httpx.Response = await client.post(PATH, json=body, headers={"If-Match": tag})
        return answer

    assert_problem(await complete('"other"'), 412, "precondition_failed")
    assert_problem(await complete("other"), 400, "invalid_request")
    assert (await client.head("/v1/sessions/s1")).headers["session-completed"] == "false"
    for _ in range(2):
        assert (await complete('"fake.3"')).headers["etag"] == '"fake.4"'


@pytest.mark.usefixtures("read")
@pytest.mark.parametrize(
    "bad",
    [
        {"revisit": True},
        {"revisit": True, "first_seq": 0},
        {"revisit": True, "chunks": ["one"]},
        {"first_seq": 0, "chunks": ["one"]},
        {"revisit": False, "chunks": []},
        {"first_seq": 0},
        {"revisit": "yes"},
        {"revisit": True, "first_seq": -1, "chunks": []},
        {"revisit": True, "first_seq": 2**53, "chunks": []},
        {"revisit": True, "first_seq": 0, "chunks": "one"},
        {"revisit": True, "first_seq": 0, "chunks": [1]},
        {"revisit": True, "first_seq": 0, "chunks": ["one"], "encoding_format": "hex"},
        {"revisit": True, "first_seq": 0, "chunks": ["x"] * 257},
        {"return": []},
        [],
        1,
    ],
)
async def test_what_the_schema_does_not_know_is_refused_and_completes_nothing(client, api, bad):
    assert_problem(await client.post(PATH, json=bad), 422, "validation_error")
    assert not api.infini.session("public", "s1").completed


@pytest.mark.usefixtures("read")
@pytest.mark.parametrize("content", [b"{", b"\xff", b'{"revisit":false,"revisit":false}'])
async def test_a_body_that_is_there_has_to_be_json(client, api, content):
    json = {"content-type": "application/json"}
    assert_problem(await client.post(PATH, content=content, headers=json), 400, "invalid_request")
    other = await client.post(PATH, content=b"{}", headers=PLAIN)
    assert_problem(other, 415, "unsupported_media_type")
    assert not api.infini.session("public", "s1").completed


async def test_sessions_that_are_not_there_or_gone(client, session):
    look = {"revisit": True, "first_seq": 0, "chunks": []}
    for body in ({}, look):
        missing = await client.post("/v1/sessions/none/complete", json=body)
        assert_problem(missing, 404, "session_not_found")
    await client.delete("/v1/sessions/s1")
    for body in ({}, look):
        assert_problem(await client.post(PATH, json=body), 410, "session_deleted")
    assert_problem(await client.get(PATH), 405, "method_not_allowed")


@pytest.mark.usefixtures("read")
async def test_without_its_model_a_session_can_be_completed_and_not_looked_at(client, api):
    api.app.state.services = replace(api.services, encoders={})
    assert_problem(await _revisit(client, *TEXTS), 503, "model_unavailable")
    body = (await client.post(PATH)).json()
    assert (body["session"]["completed"], body["session"]["memory_bytes"]) == (True, None)


async def test_it_is_bounded_counted_and_refused_while_draining():
    api = Api(limits=LimitsConfig(chunks=2))
    async with api.client() as client:
        await client.post("/v1/sessions", json={"model": "infini", "id": "s1"})
        await _append(client, "one", "two")
        many = assert_problem(await _revisit(client, "one", "two", "x"), 422, "validation_error")
        assert many["max_items"] == 2
        api.draining = True
        assert_problem(await client.post(PATH), 503, "draining")
        api.draining = False
        assert (await _revisit(client, "one", "two")).is_success
    route = 'method="POST",route="/v1/sessions/{session_id}/complete"'
    assert f'http_requests_total{{code="200",{route}}} 1.0'.encode() in api.metrics.exposition()
