"""Tokens that only the service makes and only their tenant uses."""

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.errors import Unprocessable
from service.sessions.state_tokens import StateTokens, TokenState

SECRET = b"s" * 32
CONTENT = TokenState("infini", "f" * 64, 7, bytes(range(256)) * 3)


class Clock:
    now = 1000.5

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def tokens(clock) -> StateTokens:
    return StateTokens(SECRET, 60, clock)


def refused(tokens: StateTokens, text: str, tenant: str = "a") -> str:
    with pytest.raises(Unprocessable) as caught:
        tokens.read(tenant, text)
    assert (caught.value.code, caught.value.param) == ("invalid_state_token", "state_token")
    return caught.value.detail


def test_a_token_says_what_it_was_given(tokens):
    token = tokens.issue("a", CONTENT)
    assert tokens.read("a", token.text) == CONTENT
    assert token.expires_at == 1060
    assert token.text.isascii()
    assert not set(token.text) & set("+/=? ")


def test_its_size_is_a_third_more_than_the_states(tokens):
    state = bytes(420_000)
    text = tokens.issue("a", TokenState("infini-plus", "f" * 64, 10**9, state)).text
    assert len(text) < 1.34 * len(state)


def test_it_is_its_tenants_alone(tokens):
    text = tokens.issue("a", CONTENT).text
    for other in ("b", "", "aa", "a\0"):
        assert "not issued" in refused(tokens, text, other)


def test_it_is_its_services_alone(tokens, clock):
    text = StateTokens(b"t" * 32, 60, clock).issue("a", CONTENT).text
    assert "not issued" in refused(tokens, text)


def test_it_expires(tokens, clock):
    text = tokens.issue("a", CONTENT).text
    clock.now = 1059.9
    assert tokens.read("a", text) == CONTENT
    clock.now = 1060.0
    assert "60 seconds" in refused(tokens, text)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_a_changed_token_is_refused(data):
    tokens = StateTokens(SECRET, 60, Clock())
    text = tokens.issue("a", CONTENT).text
    raw = bytearray(base64.urlsafe_b64decode(text[4:] + "=" * (-len(text[4:]) % 4)))
    bit = data.draw(st.integers(0, len(raw) * 8 - 1))
    raw[bit // 8] ^= 1 << bit % 8
    assert "not issued" in refused(
        tokens, "ls1." + base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
    )


@pytest.mark.parametrize(
    "change",
    [
        lambda text: "",
        lambda text: "ls1.",
        lambda text: text[4:],
        lambda text: "ls2." + text[4:],
        lambda text: text[:-1],
        lambda text: text[:40],
        lambda text: text + "AAAA",
        lambda text: text + "\n",
        lambda text: text + "=",
        lambda text: text.replace("A", "+", 1),
        lambda text: text[:20] + "é" + text[20:],
        lambda text: text[:20] + " " + text[20:],
        lambda text: "ls1." + "A" * 64,
        lambda text: "\ud800",
    ],
)
def test_what_is_no_token_is_refused(tokens, change):
    refused(tokens, change(tokens.issue("a", CONTENT).text))
