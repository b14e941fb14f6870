"""Tokens, their vectors and their attention, through both clients."""

import json

import httpx
import numpy as np
import pytest

from service.client import Invalid, ProtocolError, Token
from tests.service.client.fake import refuse
from tests.service.client.vectors import DIMENSIONS, vector_of

A, BC = Token(1, "a", 0, 1), Token(2, "bc", 2, 4)


def test_tokens_come_in_the_order_of_the_texts(client):
    result = client.tokenize(["a bc", "", "a"], "infini")
    assert result.texts == ((A, BC), (), (A,))
    assert (result.total, result.max_chunk_tokens) == (3, 256)


def test_encode_returns_vectors_of_texts_and_tokens(client, service):
    result = client.encode(["a bc", ""], "infini")
    first, empty = result.texts
    assert first.tokens == (A, BC)
    assert first.token_embeddings.dtype == np.float32
    np.testing.assert_array_equal(first.embedding, vector_of("a bc"))
    np.testing.assert_array_equal(
        first.token_embeddings, [vector_of("a bc", "a"), vector_of("a bc", "bc")]
    )
    assert (empty.tokens, empty.token_embeddings.shape) == ((), (0, DIMENSIONS))
    assert (result.tokens, result.truncated_tokens) == (9, 0)
    assert b'"encoding_format":"base64"' in service.requests[-1].content


def test_encode_asks_for_what_it_was_told(client):
    result = client.encode("a", "infini", truncate=True, special_tokens=True)
    assert result.truncated_tokens == 2
    [text] = result.texts
    assert [token.piece for token in text.tokens] == ["^", "a", "$"]
    assert (text.tokens[0].start, text.tokens[0].end) == (None, None)
    assert text.token_embeddings.shape == (3, DIMENSIONS)


def test_attention_comes_as_arrays(client):
    result = client.attention("a bc", "infini", context="before", stages=["scores", "outputs"])
    assert [token.piece for token in result.tokens] == ["^", "a", "bc", "$"]
    assert (result.layers, result.heads) == ((0, 1), (0, 1, 2))
    assert list(result.directions) == ["forward", "backward"]
    forward = result.directions["forward"]
    assert forward.weights is None
    assert forward.scores.shape == (2, 3, 4, 4)
    assert forward.outputs.shape == result.outputs.shape == (2, 3, 4, 4)
    np.testing.assert_array_equal(forward.scores[1, 2, 3], [21, 22, 23, 24])
    np.testing.assert_array_equal(
        np.isneginf(forward.scores[0, 0]), np.triu(np.ones((4, 4), bool), 1)
    )
    np.testing.assert_array_equal(result.outputs[1, 2, 3], np.array([1, 2, 3, 0.5]))
    assert result.head_memory_share[1, 2] == pytest.approx([0.12] * 4)
    np.testing.assert_array_equal(result.memory_share, [0.5] * 4)


def test_attention_asks_for_weights_of_everything_unless_told(client, service):
    result = client.attention("a", "infini")
    assert json.loads(service.requests[-1].content) == {
        "model": "infini",
        "input": "a",
        "return": ["weights"],
    }
    np.testing.assert_allclose(result.directions["forward"].weights.sum(-1), 1, atol=1e-6)
    assert result.outputs is result.memory_share is result.head_memory_share is None
    part = client.attention("a", "infini", layers=range(1, 2), heads=(2, 0))
    assert (part.layers, part.heads) == ((1,), (2, 0))
    assert part.directions["forward"].weights.shape == (1, 2, 3, 3)


def test_they_are_repeated_since_nothing_is_changed_by_them(client, service):
    for call in (client.tokenize, client.encode, client.attention):
        service.faults = [refuse, refuse]
        call("a", "infini")
    assert len(service.requests) == 9


def test_what_cannot_be_sent_is_invalid(client, service):
    for call in (client.tokenize, client.encode):
        with pytest.raises(Invalid):
            call(5, "infini")
    for wrong in ({"layers": 1}, {"heads": 1}, {"stages": 1}, {"context": {1}}):
        with pytest.raises(Invalid):
            client.attention("a", "infini", **wrong)
    assert service.requests == []


@pytest.mark.parametrize("body", [{}, {"tokens": [], "layers": []}, {"data": [{}], "usage": {}}])
def test_an_answer_of_another_service_is_a_protocol_error(client, service, body):
    for call in (client.tokenize, client.encode, client.attention):
        service.faults = [lambda _request: httpx.Response(200, json=body)]
        with pytest.raises(ProtocolError, match="/v1/"):
            call("a", "infini")
