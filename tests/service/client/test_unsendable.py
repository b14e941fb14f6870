"""What can never be sent is `Invalid` before anything is."""

from collections.abc import Callable
from typing import Any

import pytest

from service.client import AsyncLongstreamClient, Invalid, LongstreamClient

LONE = "half a pair: \ud83d"
CYCLE: dict[str, Any] = {}
CYCLE["self"] = CYCLE


CALLS: dict[str, Callable[[Any], Any]] = {
    "lone surrogate in a chunk": lambda client: client.append("s", [LONE], 0),
    "lone surrogate in a text": lambda client: client.embed([LONE], "infini"),
    "lone surrogate in the id of a session": lambda client: client.session(LONE),
    "lone surrogate in the id of a model": lambda client: client.model(LONE),
    "lone surrogate in a cursor": lambda client: client.sessions(10, LONE),
    "bytes as a chunk": lambda client: client.append("s", [b"x"], 0),
    "number for chunks": lambda client: client.append("s", 5, 0),
    "NaN in metadata": lambda client: client.create_session("infini", "s", {"x": float("nan")}),
    "set in metadata": lambda client: client.create_session("infini", "s", {"x": {1}}),
    "cycle in metadata": lambda client: client.create_session("infini", "s", CYCLE),
    "number for metadata": lambda client: client.create_session("infini", "s", 5),
    "lone surrogate in a question": lambda client: client.query("s", [LONE]),
    "number for questions": lambda client: client.query("s", 5),
    "lone surrogate in a chunk to look at": lambda client: client.second_look("s", [LONE], 0),
    "number for chunks to look at": lambda client: client.second_look("s", 5, 0),
    "number for an id to complete": lambda client: client.complete(5),
    "number for an id": lambda client: client.session(5),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_what_cannot_be_sent_is_invalid(client, service, call):
    with pytest.raises(Invalid) as caught:
        call(client)
    assert (caught.value.status, caught.value.code) == (None, "invalid_request")
    assert service.requests == []


@pytest.mark.parametrize("pieces", [LONE, ["good ", LONE], [7]])
def test_a_stream_of_what_is_no_text_is_invalid(client, service, pieces):
    client.create_session("infini", "s")
    with pytest.raises(Invalid, match="no text") as caught:
        list(client.stream("s", pieces))
    assert caught.value.status is None
    assert service.sessions["s"].texts == []


def test_a_body_says_that_it_is_json_and_keeps_its_characters(client, service):
    client.embed(["é\u2028"], "infini")
    request = service.requests[-1]
    assert request.headers["Content-Type"] == "application/json"
    assert '"é\u2028"'.encode() in request.content
    client.models()
    assert "Content-Type" not in service.requests[-1].headers


@pytest.mark.parametrize("kind", [LongstreamClient, AsyncLongstreamClient])
@pytest.mark.parametrize(
    "url",
    [
        "http://[bad",
        "http://x:99999999",
        "ftp://x",
        "localhost:8000",
        "",
        "http://",
        "http://a..b",
        f"http://{'a' * 64}.org",
    ],
)
def test_an_address_that_is_none_is_invalid(kind, url):
    with pytest.raises(Invalid, match="is no URL"):
        kind(url)


@pytest.mark.parametrize("url", ["http://me:secret@h", "http://me:secret@h:99999", "me:secret@h"])
def test_an_address_with_a_password_is_invalid_and_not_told(url):
    with pytest.raises(Invalid, match="api_key") as caught:
        LongstreamClient(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("kind", [LongstreamClient, AsyncLongstreamClient])
@pytest.mark.parametrize("key", ["ké", "two\nlines"])
def test_a_key_that_no_header_can_carry_is_invalid_and_not_told(kind, key):
    with pytest.raises(Invalid) as caught:
        kind(api_key=key)
    assert key not in str(caught.value)


def test_usual_addresses_are_taken():
    for url in ("http://127.0.0.1:8000", "https://[::1]:8000/below", "http://example.org./"):
        LongstreamClient(url).close()
