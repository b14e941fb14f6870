from dataclasses import replace

import numpy as np
import pytest
import torch

from models.memory import Memory
from service.errors import InternalError
from service.ports import StageTimes
from service.sessions.codec import decode, encode, unread
from service.sessions.reading import Reading
from service.sessions.state import SessionState
from tests.service.sessions.fakes import SHAPE, WIDTH, FakeReader, as_session_state, make_state

EMPTY = Memory.empty(SHAPE)


def with_part(name: str, part: torch.Tensor) -> Memory:
    return replace(EMPTY, parts={**EMPTY.parts, name: part})


def test_state_survives_bytes_bit_for_bit():
    blob = encode(make_state())
    assert SessionState.from_arrays(decode(blob), EMPTY).encode() == blob


def test_a_restored_state_keeps_none_of_the_stored_bytes_alive():
    state = SessionState.from_arrays(decode(encode(make_state())), EMPTY)
    assert state.document.base is None
    state.memory.parts["matrix"].add_(1)  # would fail or warn on a read-only view


def test_an_unread_state_begins_with_the_models_empty_memory():
    state = SessionState.from_arrays(unread(WIDTH), EMPTY)
    assert state.memory is EMPTY
    assert state.nbytes == EMPTY.nbytes + 8 * WIDTH
    np.testing.assert_array_equal(state.vector, np.zeros(WIDTH))


def test_the_document_is_the_token_weighted_mean():
    reader, state = FakeReader(), SessionState.from_arrays(unread(WIDTH), EMPTY)
    for text in ("one", "", "two words"):
        before = state.tokens
        state = state.after(reader.compute(text, state.memory))
        assert state.tokens == before + len(text.split())
    first, _, last = reader.fold(["one", "", "two words"])[0]
    mean = (first.astype(np.float64) + 2 * last) / 3
    np.testing.assert_allclose(state.vector, mean / np.linalg.norm(mean), rtol=1e-6)


def test_after_leaves_the_state_before_alone():
    state = as_session_state(make_state())
    blob = state.encode()
    state.after(FakeReader().compute("some text", state.memory))
    assert state.encode() == blob


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("embedding", np.full(WIDTH, np.nan, np.float32)),
        ("embedding", np.ones(WIDTH + 1, np.float32)),
        ("memory", Memory.empty({**SHAPE, "matrix": (3, 1, 2, 2)})),
        ("memory", Memory.empty({**SHAPE, "another": (1,)})),
        ("memory", Memory.empty({name: SHAPE[name] for name in ("matrix", "normaliser")})),
        ("memory", with_part("matrix", torch.zeros(2, 1, 2, 2, dtype=torch.bfloat16))),
        ("memory", with_part("matrix", torch.full((2, 1, 2, 2), torch.inf))),
        ("memory", with_part("normaliser", torch.full((2, 1, 2), torch.nan))),
        ("memory", with_part("normaliser", torch.zeros(1))),
        ("memory", with_part("other.sum", torch.tensor([0.0, torch.nan, 0.0]))),
    ],
)
def test_an_unusable_reading_is_never_taken_over(part, value):
    state = as_session_state(make_state())
    good = Reading(np.ones(WIDTH, np.float32), 3, 5, EMPTY, StageTimes())
    state.after(good)
    with pytest.raises(InternalError):
        state.after(replace(good, **{part: value}))
