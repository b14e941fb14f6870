"""Reading into a state that somebody else keeps."""

import numpy as np
import pytest

from models.memory import Memory
from service.errors import Conflict, InternalError, Unavailable, Unprocessable
from service.ports import ReadCommand
from service.sessions.codec import encode
from service.sessions.reading import Reading
from service.sessions.stateless import StatelessReader
from tests.service.sessions.bench import Bench, vectors
from tests.service.sessions.fakes import (
    INFO,
    TENANT,
    FakeReader,
    as_session_state,
    command,
    make_state,
)

TEXTS = ["one two", "three", "", "four five six"]


@pytest.fixture
def reader() -> FakeReader:
    return FakeReader()


@pytest.fixture
def stateless(reader) -> StatelessReader:
    return StatelessReader(reader, INFO)


async def test_a_chain_of_calls_is_a_session_bit_for_bit(stateless):
    bench = await Bench().begin()
    state, seq, answers = None, 0, []
    for text in TEXTS:
        result = await stateless.read(ReadCommand((text,), state, seq, INFO.fingerprint))
        state, seq = result.state, result.next_seq
        answers += result.answers
        await bench.append(command(text, first=seq - 1))
        row = await bench.store.get_with_state(TENANT, "s")
        assert row is not None
        assert row[1] == state
    stored = await bench.append(command(*TEXTS, first=0, document=True))
    np.testing.assert_array_equal([each.embedding for each in answers], vectors(stored))
    np.testing.assert_array_equal(result.document, stored.document)
    places = [(each.seq, each.tokens, each.token_start) for each in stored.answers]
    assert [(each.seq, each.tokens, each.token_start) for each in answers] == places
    assert result.tokens == 6
    # A chunk without text is read too: CLS and SEP.
    assert (await stateless.read(ReadCommand(("one two", "")))).read_tokens == (2 + 2) + 2


async def test_what_was_begun_is_not_refused_in_the_middle(stateless, reader):
    await stateless.read(ReadCommand(tuple(TEXTS)))
    assert reader.admitted == [False, True, True, True]
    await stateless.read(ReadCommand(("a",), admitted=True))
    assert reader.admitted[-1]


async def test_grouping_changes_nothing(stateless):
    whole = await stateless.read(ReadCommand(tuple(TEXTS)))
    half = await stateless.read(ReadCommand(tuple(TEXTS[:2])))
    rest = await stateless.read(ReadCommand(tuple(TEXTS[2:]), half.state, 2, INFO.fingerprint))
    assert rest.state == whole.state
    assert rest.next_seq == whole.next_seq == 4
    # The same state may be gone on from again: nothing was changed.
    again = await stateless.read(ReadCommand(tuple(TEXTS[2:]), half.state, 2, INFO.fingerprint))
    assert again.state == rest.state


async def test_a_state_that_nobody_wants_is_not_made(stateless):
    assert (await stateless.read(ReadCommand(("x",), want_state=False))).state == b""


async def test_another_version_of_the_model_is_refused(stateless, reader):
    with pytest.raises(Conflict) as caught:
        await stateless.read(ReadCommand(("x",), None, 0, "e" * 64))
    assert caught.value.code == "model_changed"
    assert caught.value.extras == {
        "stored_fingerprint": "e" * 64,
        "current_fingerprint": INFO.fingerprint,
    }
    assert reader.texts == []


async def test_a_failure_is_passed_on(stateless, reader):
    reader.fail_on = "three"
    with pytest.raises(Unavailable):
        await stateless.read(ReadCommand(tuple(TEXTS)))


async def test_a_state_of_this_model_verifies(stateless):
    await stateless.verify((await stateless.read(ReadCommand(("one two",)))).state)
    await stateless.verify((await stateless.read(ReadCommand(()))).state)


@pytest.mark.parametrize("wrong", ["bytes", "shape", "width", "version"])
async def test_a_state_of_another_model_does_not(stateless, reader, wrong):
    blob = encode(make_state())
    if wrong == "bytes":
        blob = blob[:-1]
    elif wrong == "version":
        blob = b"LSST" + blob[4:]
        blob = blob[:8] + b"\x09\x00" + blob[10:]
    elif wrong == "width":
        blob = encode(make_state(width=5))
    else:
        reader.shape = {"matrix": (1, 1, 2, 2), "normaliser": (1, 1, 2)}
    for attempt in (
        stateless.verify(blob),
        stateless.read(ReadCommand(("x",), blob, 1, INFO.fingerprint)),
    ):
        with pytest.raises(Unprocessable) as caught:
            await attempt
        assert caught.value.code == "invalid_state"


async def test_numbers_that_overflow_are_found_by_reading_a_text(stateless, reader):
    def overflow(reading: Reading) -> Reading:
        parts = {name: part * np.inf for name, part in reading.memory.parts.items()}
        return Reading(reading.embedding, 1, 3, Memory(parts, 1), reading.times)

    reader.distort = overflow
    blob = as_session_state(make_state()).encode()
    with pytest.raises(Unprocessable, match="overflow"):
        await stateless.verify(blob)
    # In the middle of a document that is the model's fault, not the caller's.
    with pytest.raises(InternalError):
        await stateless.read(ReadCommand(("x",), blob, 1, INFO.fingerprint))
