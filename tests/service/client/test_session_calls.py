"""Completing, looking again and asking, through both clients."""

import json
from collections.abc import Callable
from typing import Any

import httpx
import numpy as np
import pytest

from service.client import Conflict, Gone, NotFound, ProtocolError, Recollection
from tests.service.client.fake import busy, refuse
from tests.service.client.vectors import vector_of

TEXTS = ["73622 is the key", "b c"]


def calls_of(client: Any) -> tuple[Callable[[], Any], ...]:
    """One call of each kind."""
    return (
        lambda: client.query("s", ["x"]),
        lambda: client.complete("s"),
        lambda: client.second_look("s", TEXTS, 0),
    )


@pytest.fixture
def read(client):
    client.create_session("infini", "s")
    client.append("s", TEXTS, 0)


def test_a_session_may_be_given_a_time_to_live(client, service):
    assert client.create_session("infini", "mortal", ttl_seconds=60).expires_at == 62.5
    assert json.loads(service.requests[-1].content)["ttl_seconds"] == 60
    assert client.create_session("infini", "immortal").expires_at is None
    assert "ttl_seconds" not in json.loads(service.requests[-1].content)


@pytest.mark.usefixtures("read")
def test_a_completed_session_takes_no_more_and_replays(client, service):
    assert client.session("s").completed is False
    done = client.complete("s")
    assert (done.id, done.completed, done.next_seq) == ("s", True, 2)
    assert json.loads(service.requests[-1].content) == {}
    assert client.complete("s") == client.session("s") == done
    with pytest.raises(Conflict) as caught:
        client.append("s", ["more"], 2)
    assert (caught.value.code, caught.value.next_seq) == ("session_completed", 2)
    assert client.append("s", TEXTS, 0).replayed


@pytest.mark.usefixtures("read")
def test_a_second_look_gives_a_vector_per_chunk(client, service):
    result = client.second_look("s", TEXTS, 0)
    assert [(chunk.seq, chunk.tokens) for chunk in result.chunks] == [(0, 4), (1, 2)]
    for chunk, text in zip(result.chunks, TEXTS, strict=True):
        np.testing.assert_array_equal(chunk.embedding, vector_of("again", *TEXTS, text))
        assert chunk.embedding.dtype == np.float32
    assert (result.tokens, result.session.completed) == (10, True)
    assert json.loads(service.requests[-1].content) == {
        "revisit": True,
        "first_seq": 0,
        "chunks": TEXTS,
        "encoding_format": "base64",
    }
    [part] = client.second_look("s", TEXTS[1], 1).chunks
    assert part.seq == 1
    assert client.second_look("s", [], 0).chunks == ()


@pytest.mark.usefixtures("read")
def test_other_texts_conflict(client, service):
    with pytest.raises(Conflict) as caught:
        client.second_look("s", ["other"], 0)
    assert (caught.value.code, caught.value.expected_seq) == ("sequence_conflict", 2)
    assert not service.sessions["s"].completed


@pytest.mark.usefixtures("read")
def test_questions_come_back_in_their_order(client, service):
    result = client.query("s", ["the key", "the door"])
    known, unknown = result.questions
    np.testing.assert_array_equal(known.embedding, vector_of("the key"))
    assert known.recall == Recollection("73622", 0.5, found=True)
    assert unknown.recall == Recollection(None, 0.0, found=False)
    assert (known.tokens, result.next_seq, result.tokens) == (2, 2, 7)
    assert b'"encoding_format":"base64"' in service.requests[-1].content
    assert len(client.query("s", "one question").questions) == 1


def test_a_model_may_not_recall(client):
    client.create_session("forgetful", "s")
    [question] = client.query("s", ["x"]).questions
    assert question.recall is None


@pytest.mark.usefixtures("read")
def test_all_are_repeated_since_twice_is_once(client, service):
    for call in calls_of(client):
        asked = len(service.requests)
        service.faults, service.lose_answers = [refuse, busy], 1
        call()
        assert len(service.requests) == asked + 4


def test_sessions_that_are_not_there_or_gone(client):
    client.create_session("infini", "gone")
    client.delete("gone")
    for name, kind in (("none", NotFound), ("gone", Gone)):
        with pytest.raises(kind):
            client.complete(name)
        with pytest.raises(kind):
            client.second_look(name, [], 0)
        with pytest.raises(kind):
            client.query(name, ["x"])


@pytest.mark.usefixtures("read")
@pytest.mark.parametrize("body", [{}, {"data": [{}], "session": {}, "chunks": [], "usage": {}}])
def test_an_answer_of_another_service_is_a_protocol_error(client, service, body):
    for call in calls_of(client):
        service.faults = [lambda _request: httpx.Response(200, json=body)]
        with pytest.raises(ProtocolError, match="/v1/sessions/s/"):
            call()


@pytest.mark.usefixtures("read")
def test_a_second_look_that_answers_other_chunks_is_a_protocol_error(client, service):
    whole = client.second_look("s", TEXTS, 0)
    answer = service(service.requests[-1])
    service.faults = [lambda _request: answer]
    with pytest.raises(ProtocolError, match="came back as"):
        client.second_look("s", TEXTS[:1], 0)
    assert len(whole.chunks) == 2


def test_a_taken_session_that_was_completed_is_not_ours(client, service):
    client.create_session("infini", "s")
    client.complete("s")
    service.faults = [refuse]
    with pytest.raises(Conflict, match="session_exists"):
        client.create_session("infini", "s")
