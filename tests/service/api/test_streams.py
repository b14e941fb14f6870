from collections.abc import AsyncIterator

import pytest
import structlog

from service.errors import InternalError, OutOfStorage, Unavailable
from tests.service.api.kit import PLAIN, TEXT, assert_problem, events_of, post_stream


async def _pieces(data: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


@pytest.mark.usefixtures("session")
async def test_the_chunks_are_the_text(client, api):
    *chunks, done = events_of(await post_stream(client, TEXT.encode(), "?chunk_chars=200"))
    assert "".join(api.infini.session("public", "s1").texts) == TEXT
    assert len(chunks) > 10
    assert [event["seq"] for event in chunks] == list(range(len(chunks)))
    position = 0
    for event, text in zip(chunks, api.infini.session("public", "s1").texts, strict=True):
        assert event["event"] == "chunk"
        assert event["text_range"] == [position, position + len(text)]
        assert event["tokens"] == event["token_range"][1] - event["token_range"][0]
        assert event["replayed"] is False
        assert len(event["embedding"]) == 8
        position += len(text)
    assert done == {
        "event": "done",
        "chunks": len(chunks),
        "next_seq": len(chunks),
        "tokens": sum(event["tokens"] for event in chunks),
    }


@pytest.mark.usefixtures("session")
@pytest.mark.parametrize("size", [1, 7, 5000])
async def test_pieces_may_end_inside_a_character(client, api, size):
    text = "Größe — 漢字 🎻 " * 30
    events_of(await post_stream(client, _pieces(text.encode(), size), "?chunk_chars=50"))
    assert "".join(api.infini.session("public", "s1").texts) == text


@pytest.mark.usefixtures("session")
async def test_a_stream_that_is_sent_again_replays(client):
    first = events_of(
        await post_stream(client, TEXT.encode(), "?first_seq=0&encoding_format=base64")
    )
    again = events_of(
        await post_stream(client, TEXT.encode(), "?first_seq=0&encoding_format=base64")
    )
    assert isinstance(first[0]["embedding"], str)
    assert all(event["replayed"] for event in again[:-1])
    assert [event["embedding"] for event in again[:-1]] == [
        event["embedding"] for event in first[:-1]
    ]
    assert again[-1] == first[-1]


@pytest.mark.usefixtures("session")
async def test_without_first_seq_a_stream_goes_on(client):
    await post_stream(client, b"One.")
    events = events_of(await post_stream(client, b"Two."))
    assert [event["seq"] for event in events[:-1]] == [1]
    assert events[0]["text_range"] == [0, 4]


@pytest.mark.usefixtures("session")
async def test_an_empty_stream_is_done_at_once(client):
    assert events_of(await post_stream(client, b"")) == [
        {"event": "done", "chunks": 0, "next_seq": 0, "tokens": 0}
    ]
    assert events_of(
        await post_stream(client, b"", "?first_seq=0", {**PLAIN, "if-match": '"fake.0"'})
    )


@pytest.mark.usefixtures("session")
async def test_an_empty_stream_keeps_the_conditions_of_one_with_text(client):
    stale = await post_stream(client, b"", headers={**PLAIN, "if-match": '"other"'})
    assert_problem(stale, 412, "precondition_failed")
    gap = assert_problem(await post_stream(client, b"", "?first_seq=2"), 409, "sequence_conflict")
    assert (gap["expected_seq"], gap["provided_seq"]) == (0, 2)


@pytest.mark.usefixtures("session")
async def test_errors_before_the_first_event_are_problems(client):
    gap = await post_stream(client, b"x", "?first_seq=5")
    assert_problem(gap, 409, "sequence_conflict")
    assert_problem(await post_stream(client, b"\xff"), 400, "invalid_request")
    assert_problem(await post_stream(client, b"ok \xe2\x82"), 400, "invalid_request")
    latin = await post_stream(client, b"x", headers={"content-type": "text/plain; charset=latin-1"})
    assert_problem(latin, 415, "unsupported_media_type")
    data = await post_stream(client, b"{}", headers={"content-type": "application/json"})
    assert_problem(data, 415, "unsupported_media_type")
    gzip = await post_stream(client, b"x", headers={**PLAIN, "content-encoding": "gzip"})
    assert_problem(gzip, 415, "unsupported_media_type")
    for query in ("?chunk_chars=0", "?chunk_chars=65537", "?first_seq=-1", "?first_seq=1e400"):
        assert_problem(await post_stream(client, b"x", query), 422, "validation_error")
    etag = await post_stream(client, b"x", headers={**PLAIN, "if-match": '"other"'})
    assert_problem(etag, 412, "precondition_failed")


async def test_a_stream_into_nothing_is_404(client):
    assert_problem(await post_stream(client, b"x"), 404, "session_not_found")


@pytest.mark.usefixtures("session")
async def test_bad_bytes_in_the_middle_are_an_event_that_says_how_far_it_came(client):
    *chunks, error = events_of(
        await post_stream(client, TEXT.encode() + b"\xff", "?chunk_chars=100")
    )
    assert chunks
    assert error["event"] == "error"
    assert error["status"] == 400
    assert error["error"]["code"] == "invalid_request"
    assert error["next_seq"] == len(chunks)
    assert error["request_id"]


@pytest.mark.usefixtures("session")
@pytest.mark.parametrize(
    ("raised", "code"),
    [
        (Unavailable("overloaded", "busy", extras={"next_seq": 77}), "overloaded"),
        (RuntimeError("secret"), "internal_error"),
    ],
)
async def test_a_failing_encoder_in_the_middle_is_an_event(client, api, raised, code):
    calls = 0

    async def gate() -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise raised

    api.gate = gate
    answer = await post_stream(client, TEXT.encode(), "?chunk_chars=100")
    *chunks, error = events_of(answer)
    assert error["error"]["code"] == code
    assert error["next_seq"] == (77 if code == "overloaded" else len(chunks))
    assert "secret" not in answer.text


@pytest.mark.usefixtures("session")
async def test_draining_ends_a_stream_between_chunks(client, api):
    async def body() -> AsyncIterator[bytes]:
        yield TEXT.encode()
        api.draining = True
        yield TEXT.encode()

    *chunks, error = events_of(await post_stream(client, body(), "?chunk_chars=100"))
    assert error["error"]["code"] == "draining"
    assert error["next_seq"] == len(chunks) > 0


@pytest.mark.usefixtures("session")
async def test_a_500_inside_a_stream_is_opaque_logged_and_counted(client, api):
    calls = 0

    async def gate() -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise InternalError("internal_error", "the password is hunter2", None, {"next_seq": 9})

    api.gate = gate
    with structlog.testing.capture_logs() as logs:
        answer = await post_stream(client, TEXT.encode())
    *_, error = events_of(answer)
    assert "hunter2" not in answer.text
    assert error["next_seq"] == 9
    assert error["request_id"] in error["detail"]
    trace, access = logs
    assert trace["event"] == "unhandled_error"
    assert trace["request_id"] == error["request_id"]
    assert isinstance(trace["exc_info"], InternalError)
    assert (access["log_level"], access["code"], access["error"]) == ("info", 200, "internal_error")
    assert b'stream_errors_total{code="500"} 1.0' in api.metrics.exposition()


@pytest.mark.usefixtures("session")
async def test_a_refusal_inside_a_stream_is_counted_by_its_reason(client, api):
    calls = 0

    async def gate() -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise OutOfStorage("out_of_storage", "full")

    api.gate = gate
    assert events_of(await post_stream(client, TEXT.encode()))[-1]["status"] == 507
    text = api.metrics.exposition()
    assert b'rejected_total{reason="out_of_storage"} 1.0' in text
    assert b'stream_errors_total{code="507"} 1.0' in text


@pytest.mark.usefixtures("session")
@pytest.mark.parametrize("key", ["k1", ""])
async def test_a_key_that_would_do_nothing_is_refused(client, api, key):
    headers = {**PLAIN, "idempotency-key": key}
    answer = await client.post("/v1/sessions/s1/stream", content=b"Hello.", headers=headers)
    assert_problem(answer, 400, "invalid_request")
    assert "first_seq" in answer.json()["detail"]
    assert api.infini.session("public", "s1").texts == []
