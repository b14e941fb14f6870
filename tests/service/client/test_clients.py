"""Both clients do the same: every test runs against both."""

import inspect

import httpx
import numpy as np
import pytest

from service import client as package
from service.client import (
    AsyncLongstreamClient,
    Conflict,
    Gone,
    Invalid,
    LongstreamClient,
    NotFound,
    ProtocolError,
)
from tests.service.client.fake import busy, problem, refuse
from tests.service.client.vectors import DIMENSIONS, vector_of


def test_models(client):
    (listed,) = client.models()
    assert client.model("infini") == listed
    assert (listed.dimensions, listed.memory_bytes, listed.evaluation) == (8, 4096, {"stsb": 0.8})
    with pytest.raises(NotFound, match="model_not_found"):
        client.model("other")


def test_embed_returns_vectors_in_the_order_of_the_texts(client, service):
    result = client.embed(["a", "b"], "infini")
    assert result.vectors.dtype == np.float32
    assert np.array_equal(result.vectors, np.stack([vector_of("a"), vector_of("b")]))
    assert (result.tokens, result.truncated_tokens) == (5, 0)
    assert b'"encoding_format":"base64"' in service.requests[-1].content
    assert b"truncate" not in service.requests[-1].content


def test_embed_reports_what_it_was_allowed_to_cut(client):
    assert client.embed(["a"], "infini", truncate=True).truncated_tokens == 2


def test_a_lone_text_is_one_text(client):
    assert client.embed("abc", "infini").vectors.shape == (1, DIMENSIONS)
    client.create_session("infini", "s")
    assert len(client.append("s", "abc", 0).chunks) == 1


def test_a_session_from_beginning_to_end(client):
    made = client.create_session("infini", "book", {"title": "X"})
    assert (made.id, made.model, made.metadata) == ("book", "infini", {"title": "X"})
    first = client.append("book", ["a b", "c"], 0, document=True)
    assert [chunk.seq for chunk in first.chunks] == [0, 1]
    assert (first.next_seq, first.replayed) == (2, False)
    assert first.chunks[1].token_start == 2
    assert first.chunks[1].token_end == 3
    assert np.array_equal(first.chunks[1].embedding, vector_of("a b", "c"))
    assert first.document is not None
    assert np.array_equal(first.document.embedding, vector_of("document", "a b", "c"))
    assert np.array_equal(client.document("book").embedding, first.document.embedding)
    again = client.append("book", ["c", "d"], 1)
    assert [chunk.replayed for chunk in again.chunks] == [True, False]
    assert again.document is None
    assert client.next_seq("book") == 3
    assert client.session("book").next_seq == 3
    client.delete("book")
    with pytest.raises(Gone, match="session_deleted"):
        client.next_seq("book")


def test_a_conflict_says_what_was_expected(client):
    client.create_session("infini", "s")
    with pytest.raises(Conflict) as caught:
        client.append("s", ["x"], 5)
    assert (caught.value.expected_seq, caught.value.code) == (0, "sequence_conflict")


def test_sessions_are_listed_page_by_page(client):
    names = [client.create_session("infini", f"s{n}").id for n in range(5)]
    page = client.sessions(limit=2)
    assert ([session.id for session in page.sessions], page.next_after) == (names[:2], "s1")
    assert [session.id for session in client.iter_sessions(page_size=2)] == names


def test_an_append_whose_answer_was_lost_is_read_once(client, service):
    client.create_session("infini", "s")
    service.lose_answers = 2
    result = client.append("s", ["a", "b"], 0)
    assert result.replayed
    assert service.sessions["s"].texts == ["a", "b"]


def test_a_create_whose_answer_was_lost_is_found_again(client, service):
    service.lose_answers = 1
    assert client.create_session("infini", "s").id == "s"
    service.lose_answers = 1
    assert client.create_session("infini").id in service.sessions


def test_a_session_of_somebody_else_is_not_taken_for_ours(client, service):
    client.create_session("infini", "s")
    with pytest.raises(Conflict, match="session_exists"):
        client.create_session("infini", "s")
    # It looks like ours would, and yet the one that was busy had not begun it.
    service.faults = [busy]
    with pytest.raises(Conflict, match="session_exists"):
        client.create_session("infini", "s")
    client.append("s", ["already read"], 0)
    service.faults = [refuse]
    with pytest.raises(Conflict, match="session_exists"):
        client.create_session("infini", "s")


def test_a_delete_whose_answer_was_lost_is_done(client, service):
    client.create_session("infini", "s")
    service.lose_answers = 1
    client.delete("s")
    with pytest.raises(Gone):
        client.delete("s")


def test_a_service_that_is_away_for_a_while_is_waited_for(client, service):
    client.create_session("infini", "s")
    service.faults = [refuse, refuse, busy, refuse]
    assert client.append("s", ["a"], 0).next_seq == 1


def test_ready_asks_once_and_does_not_fail(client, service):
    assert client.ready() is True
    service.faults = [refuse, busy]
    assert client.ready() is False
    assert client.ready() is False
    assert len(service.requests) == 3


def test_metrics_are_text(client):
    assert client.metrics() == "longstream_build_info 1\n"


def test_the_key_is_sent_as_a_bearer_token(client, service):
    client.models()
    assert service.requests[-1].headers["Authorization"] == "Bearer k"


def test_an_id_cannot_leave_its_place_in_the_path(client, service):
    with pytest.raises(NotFound):
        client.session("a/../b?c#d é")
    assert service.requests[-1].url.raw_path == b"/v1/sessions/a%2F..%2Fb%3Fc%23d%20%C3%A9"
    for name in ("", ".", ".."):
        with pytest.raises(Invalid, match="cannot be the id"):
            client.delete(name)
        with pytest.raises(Invalid, match="cannot be the id"):
            client.model(name)


def test_an_answer_of_another_service_is_a_protocol_error(client, service):
    service.faults = [lambda _request: httpx.Response(200, json={"hello": "world"})] * 2
    with pytest.raises(ProtocolError, match="/v1/models"):
        client.models()
    with pytest.raises(ProtocolError, match="Next-Seq"):
        client.next_seq("s")


def test_an_append_that_answers_other_chunks_is_a_protocol_error(client, service):
    body = {"chunks": [], "next_seq": 0, "replayed": False}
    service.faults = [lambda _request: httpx.Response(200, json=body)]
    with pytest.raises(ProtocolError, match="came back as"):
        client.append("s", ["x"], 0)


def test_invalid_requests_are_typed(client, service):
    service.faults = [lambda _request: problem(422, "input_too_long")]
    with pytest.raises(Invalid, match="input_too_long"):
        client.embed(["x"], "infini")


def test_both_clients_have_the_same_methods():
    def public(kind: type) -> dict[str, list[str]]:
        members = inspect.getmembers(kind, inspect.isfunction)
        return {
            name.replace("aclose", "close"): list(inspect.signature(member).parameters)
            for name, member in members
            if not name.startswith("_")
        }

    assert public(LongstreamClient) == public(AsyncLongstreamClient)


def test_the_package_exports_what_it_says():
    assert package.__all__ == sorted(package.__all__)
    assert all(hasattr(package, name) for name in package.__all__)
