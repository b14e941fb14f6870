import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from service.errors import Unavailable
from tests.service.api.kit import assert_problem

TEXT = "Well, Prince, so Genoa and Lucca are now just family estates. " * 40
PLAIN = {"content-type": "text/plain; charset=utf-8"}


async def _stream(
    client: httpx.AsyncClient,
    body: bytes | AsyncIterator[bytes],
    query: str = "",
    headers: dict[str, str] | None = None,
) -> httpx.Response:
    return await client.post(
        f"/v1/sessions/s1/stream{query}", content=body, headers=headers or PLAIN
    )


def _events(response: httpx.Response) -> list[dict[str, Any]]:
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/x-ndjson"
    return [json.loads(line) for line in response.content.splitlines()]


async def _pieces(data: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


@pytest.mark.usefixtures("session")
async def test_the_chunks_are_the_text(client, api):
    *chunks, done = _events(await _stream(client, TEXT.encode(), "?chunk_chars=200"))
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
    _events(await _stream(client, _pieces(text.encode(), size), "?chunk_chars=50"))
    assert "".join(api.infini.session("public", "s1").texts) == text


@pytest.mark.usefixtures("session")
async def test_a_stream_that_is_sent_again_replays(client):
    first = _events(await _stream(client, TEXT.encode(), "?first_seq=0&encoding_format=base64"))
    again = _events(await _stream(client, TEXT.encode(), "?first_seq=0&encoding_format=base64"))
    assert isinstance(first[0]["embedding"], str)
    assert all(event["replayed"] for event in again[:-1])
    assert [event["embedding"] for event in again[:-1]] == [
        event["embedding"] for event in first[:-1]
    ]
    assert again[-1] == first[-1]


@pytest.mark.usefixtures("session")
async def test_without_first_seq_a_stream_goes_on(client):
    await _stream(client, b"One.")
    events = _events(await _stream(client, b"Two."))
    assert [event["seq"] for event in events[:-1]] == [1]
    assert events[0]["text_range"] == [0, 4]


@pytest.mark.usefixtures("session")
async def test_an_empty_stream_is_done_at_once(client):
    assert _events(await _stream(client, b"")) == [
        {"event": "done", "chunks": 0, "next_seq": 0, "tokens": 0}
    ]


@pytest.mark.usefixtures("session")
async def test_errors_before_the_first_event_are_problems(client):
    gap = await _stream(client, b"x", "?first_seq=5")
    assert_problem(gap, 409, "sequence_conflict")
    assert_problem(await _stream(client, b"\xff"), 400, "invalid_request")
    assert_problem(await _stream(client, b"ok \xe2\x82"), 400, "invalid_request")
    latin = await _stream(client, b"x", headers={"content-type": "text/plain; charset=latin-1"})
    assert_problem(latin, 415, "unsupported_media_type")
    data = await _stream(client, b"{}", headers={"content-type": "application/json"})
    assert_problem(data, 415, "unsupported_media_type")
    gzip = await _stream(client, b"x", headers={**PLAIN, "content-encoding": "gzip"})
    assert_problem(gzip, 415, "unsupported_media_type")
    for query in ("?chunk_chars=0", "?chunk_chars=65537", "?first_seq=-1", "?first_seq=1e400"):
        assert_problem(await _stream(client, b"x", query), 422, "validation_error")
    etag = await _stream(client, b"x", headers={**PLAIN, "if-match": '"other"'})
    assert_problem(etag, 412, "precondition_failed")


async def test_a_stream_into_nothing_is_404(client):
    assert_problem(await _stream(client, b"x"), 404, "session_not_found")


@pytest.mark.usefixtures("session")
async def test_bad_bytes_in_the_middle_are_an_event_that_says_how_far_it_came(client):
    *chunks, error = _events(await _stream(client, TEXT.encode() + b"\xff", "?chunk_chars=100"))
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
    answer = await _stream(client, TEXT.encode(), "?chunk_chars=100")
    *chunks, error = _events(answer)
    assert error["error"]["code"] == code
    assert error["next_seq"] == (77 if code == "overloaded" else len(chunks))
    assert "secret" not in answer.text


@pytest.mark.usefixtures("session")
async def test_draining_ends_a_stream_between_chunks(client, api):
    async def body() -> AsyncIterator[bytes]:
        yield TEXT.encode()
        api.draining = True
        yield TEXT.encode()

    *chunks, error = _events(await _stream(client, body(), "?chunk_chars=100"))
    assert error["error"]["code"] == "draining"
    assert error["next_seq"] == len(chunks) > 0


@pytest.mark.usefixtures("session")
async def test_one_huge_piece_is_appended_a_few_chunks_at_a_time(client, api, monkeypatch):
    sizes = []
    append = api.infini.append

    async def spy(command: Any) -> Any:
        sizes.append(len(command.chunks))
        return await append(command)

    monkeypatch.setattr(api.infini, "append", spy)
    _events(await _stream(client, TEXT.encode() * 20, "?chunk_chars=100"))
    assert max(sizes) == 4
    assert sum(sizes) > 400
