"""Streams through both clients, against the fake."""

import httpx
import pytest

from service.client import (
    Conflict,
    NotFound,
    ProtocolError,
    StreamChunk,
    StreamDone,
    TransportError,
    Unavailable,
)
from tests.service.client.fake import FakeSession, busy, stream

TEXT = "One sentence here. Another one follows. " * 20


@pytest.mark.parametrize("text", [TEXT, TEXT.encode()])
@pytest.mark.parametrize("step", [7, 10_000])
def test_a_stream_yields_each_chunk_and_its_place(client, service, text, step):
    client.create_session("infini", "s")
    pieces = [text[i : i + step] for i in range(0, len(text), step)]
    *chunks, done = client.stream("s", pieces, chunk_chars=100, first_seq=0)
    assert all(isinstance(event, StreamChunk) for event in chunks)
    assert [TEXT[event.text_start : event.text_end] for event in chunks] == service.sessions[
        "s"
    ].texts
    assert done == StreamDone(len(chunks), len(chunks), len(TEXT.split()))
    request = service.requests[-1]
    assert request.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert request.url.params["first_seq"] == "0"


def test_a_stream_that_is_refused_raises_the_reason(client, service):
    with pytest.raises(NotFound, match="session_not_found"):
        list(client.stream("nobody", TEXT))
    service.faults = [busy]
    with pytest.raises(Unavailable):
        list(client.stream("nobody", TEXT))
    assert len(service.requests) == 2


def test_a_stream_that_fails_midway_says_how_far_it_came(client):
    client.create_session("infini", "s")
    client.append("s", ["other text"], 0)
    with pytest.raises(Conflict) as caught:
        list(client.stream("s", TEXT, first_seq=0))
    assert caught.value.next_seq == 1


def test_a_stream_that_breaks_off_says_how_far_it_came(client, service):
    client.create_session("infini", "s")
    whole = stream(
        FakeSession("infini"), httpx.Request("POST", "http://x?chunk_chars=99", content=TEXT)
    )
    half = b"\n".join(whole.content.split(b"\n")[:3]) + b'\n{"event":"chu'
    service.faults = [lambda _request: httpx.Response(200, content=half)]
    events = client.stream("s", TEXT)
    assert [next(events).chunk.seq for _ in range(3)] == [0, 1, 2]
    with pytest.raises(TransportError, match="stream_interrupted") as caught:
        next(events)
    assert caught.value.next_seq == 3


def test_a_line_that_is_no_event_is_a_protocol_error(client, service):
    service.faults = [lambda _request: httpx.Response(200, content=b'{"event":"party"}\n')]
    with pytest.raises(ProtocolError, match="party"):
        list(client.stream("s", TEXT))
