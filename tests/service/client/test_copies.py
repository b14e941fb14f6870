"""Forks, files, states that callers keep, and memories, through both clients."""

import json
from collections.abc import Callable
from typing import Any

import httpx
import numpy as np
import pytest

from service.client import Conflict, Gone, Invalid, NotFound, ProtocolError
from tests.service.client.fake import busy, refuse
from tests.service.client.vectors import vector_of

TEXTS = ["one two", "three", "four five six"]


@pytest.fixture
def read(client):
    client.create_session("infini", "s")
    client.append("s", TEXTS, 0)


def calls_of(client: Any) -> tuple[Callable[[], Any], ...]:
    """One call of each kind."""
    data = client.export_session("s")
    state = client.begin_stateless("infini")
    return (
        lambda: client.fork("s"),
        lambda: client.export_session("s"),
        lambda: client.import_session(data),
        lambda: client.begin_stateless("infini"),
        lambda: client.append_stateless(state.token, TEXTS),
        lambda: client.memory("s"),
    )


@pytest.mark.usefixtures("read")
def test_a_fork_shares_a_past_and_nothing_more(client, service):
    fork = client.fork("s", "f", at_seq=2, metadata={"a": 1})
    assert (fork.id, fork.next_seq, fork.forked_from, fork.forked_at) == ("f", 2, "s", 2)
    assert json.loads(service.requests[-1].content) == {
        "id": "f",
        "at_seq": 2,
        "metadata": {"a": 1},
    }
    [chunk] = client.append("f", ["other"], 2).chunks
    np.testing.assert_array_equal(chunk.embedding, vector_of(*TEXTS[:2], "other"))
    whole = client.fork("s")
    assert (whole.next_seq, whole.forked_at, client.session("s").forked_from) == (3, 3, None)
    assert service.requests[-2].content == b"{}"


@pytest.mark.usefixtures("read")
def test_forks_and_imports_may_be_given_a_time_to_live(client, service):
    client.fork("s", "f", ttl_seconds=60)
    assert json.loads(service.requests[-1].content) == {"id": "f", "ttl_seconds": 60}
    client.import_session(client.export_session("s"), "again", ttl_seconds=60)
    assert dict(service.requests[-1].url.params) == {"id": "again", "ttl_seconds": "60"}
    client.import_session(client.export_session("s"))
    assert dict(service.requests[-1].url.params) == {}


@pytest.mark.usefixtures("read")
def test_a_position_that_is_not_kept(client):
    with pytest.raises(Conflict) as caught:
        client.fork("s", at_seq=9)
    assert caught.value.code == "snapshot_not_kept"
    assert caught.value.problem["available"] == [3]
    with pytest.raises(Conflict):
        client.fork("s", "s")


@pytest.mark.usefixtures("read")
def test_a_file_brings_a_session_back(client, service):
    data = client.export_session("s")
    assert service.requests[-1].url.params["answers"] == "true"
    client.delete("s")
    again = client.import_session(data, "again")
    assert (again.id, again.next_seq) == ("again", 3)
    assert client.append("again", TEXTS, 0).replayed
    small = client.export_session("again", answers=False)
    assert service.requests[-1].url.params["answers"] == "false"
    assert len(small) < len(data)
    assert client.import_session(small).id != "again"
    with pytest.raises(Invalid) as caught:
        client.import_session(b"no file")
    assert caught.value.code == "invalid_session_file"


@pytest.mark.parametrize("data", ["text", None, 7])
def test_a_file_that_is_no_bytes_is_not_sent(client, service, data):
    with pytest.raises(Invalid):
        client.import_session(data)
    assert service.requests == []


def test_states_that_the_caller_keeps(client, service):
    state = client.begin_stateless("infini")
    assert (state.model, state.next_seq, state.tokens, state.expires_at) == ("infini", 0, 0, 99)
    for seq, text in enumerate(TEXTS):
        result = client.append_stateless(state.token, [text])
        state = result.state
        [chunk] = result.chunks
        assert (chunk.seq, chunk.replayed, result.document) == (seq, False, None)
        np.testing.assert_array_equal(chunk.embedding, vector_of(*TEXTS[: seq + 1]))
    assert (state.next_seq, state.tokens) == (3, 6)
    document = client.append_stateless(state.token, "more", document=True).document
    np.testing.assert_array_equal(document.embedding, vector_of("document", *TEXTS, "more"))
    assert service.sessions == {}


@pytest.mark.usefixtures("read")
def test_what_a_memory_holds(client):
    found = client.memory("s")
    assert (found.next_seq, found.tokens_seen, found.nbytes) == (3, 6, 4096)
    assert (found.gates, found.layers) == (None, (3,))
    assert (found.segments, found.numbers) == (2, 1.5)
    matrix, segments = found.parts
    assert (matrix.name, matrix.shape, matrix.axes) == ("matrix", (1, 2, 4, 4), ("layer", "head"))
    np.testing.assert_array_equal(matrix.norm, [[1, 2]])
    np.testing.assert_array_equal(matrix.effective_rank, [[3, 4]])
    np.testing.assert_array_equal(matrix.saturation, [[0.5, 0.25]])
    assert (segments.norm, segments.effective_rank, segments.saturation) == (2.0, None, None)
    client.create_session("forgetful", "g")
    gated = client.memory("g")
    np.testing.assert_array_equal(gated.gates, [[0.25, 0.5]])
    assert (gated.segments, gated.numbers) == (None, None)


def test_a_session_with_an_index_finds_its_chunks(client, service):
    session = client.create_session("infini", "s", index=True)
    assert session.index
    client.append("s", TEXTS, 0)
    [question] = client.query("s", ["x"], top_k=2).questions
    assert [(near.seq, near.score) for near in question.nearest] == [(2, 1.0), (1, 0.5)]
    assert (question.nearest[0].token_start, question.nearest[0].token_end) == (3, 6)
    assert json.loads(service.requests[-1].content)["top_k"] == 2
    client.query("s", ["x"])
    assert "top_k" not in json.loads(service.requests[-1].content)


@pytest.mark.usefixtures("read")
def test_all_are_repeated_since_twice_is_once(client, service):
    for call in calls_of(client):
        asked, known = len(service.requests), len(service.sessions)
        service.faults, service.lose_answers = [refuse, busy], 1
        call()
        assert len(service.requests) == asked + 4
        assert len(service.sessions) <= known + 1
        keys = {request.headers.get("Idempotency-Key") for request in service.requests[asked:]}
        assert len(keys) == 1


@pytest.mark.usefixtures("read")
def test_an_answer_of_another_service_is_a_protocol_error(client, service):
    for index, call in enumerate(calls_of(client)):
        service.faults = [lambda _request: httpx.Response(200, json={"chunks": [{}]})]
        if index == 1:
            assert call() == b'{"chunks":[{}]}'
            continue
        with pytest.raises(ProtocolError, match="/v1/sessions"):
            call()


def test_sessions_that_are_not_there_or_gone(client):
    client.create_session("infini", "gone")
    client.delete("gone")
    for name, kind in (("none", NotFound), ("gone", Gone)):
        for call in (client.fork, client.export_session, client.memory):
            with pytest.raises(kind):
                call(name)
