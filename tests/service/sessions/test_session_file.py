"""A session as a file: nothing but what was written is ever read."""

import json
import struct
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st

from service.errors import Unprocessable
from service.sessions.codec import unread
from service.sessions.records import ChunkRecord
from service.sessions.session_contents import SessionContents
from service.sessions.session_file import _KEY, _digest, pack, unpack
from tests.service.sessions.fakes import INFO, WIDTH, make_state


def chunk(seq: int, tokens: int, start: int) -> ChunkRecord:
    vector = np.full(WIDTH, seq + 0.5, "<f4").tobytes()
    return ChunkRecord(seq, bytes([seq]) * 32, vector, tokens, start)


CONTENTS = SessionContents(
    model=INFO.id,
    fingerprint=INFO.fingerprint,
    session_id="s",
    next_seq=3,
    completed=False,
    indexed=True,
    metadata='{"title":"ü","n":[1,2.5,null]}',
    state=make_state(),
    chunks=(chunk(1, 2, 1), chunk(2, 2, 3)),
)
FILE = pack(CONTENTS)
ONE_NUMBER = {"count": np.array(3.0, np.float32), "matrix": np.ones((2, 3), np.float32)}
"""Parts as some memories have them: one without an axis."""


def parts(data: bytes) -> tuple[dict[str, Any], dict[str, Any], bytes]:
    """Return the file's own header, safetensors' header, and the numbers."""
    (length,) = struct.unpack_from("<Q", data)
    outer = json.loads(data[8 : 8 + length])
    return json.loads(outer["__metadata__"][_KEY]), outer, data[8 + length :]


def framed(outer: dict[str, Any], numbers: bytes) -> bytes:
    text = json.dumps(outer).encode()
    return struct.pack("<Q", len(text)) + text + numbers


def forged(tensors: dict[str, Any] | None = None, **header: Any) -> bytes:
    """Return a file that says something else and whose digest is right: what only looking at the content finds."""
    said = parts(FILE)[0]
    said.update(header)
    said.pop("digest")
    said = {name: value for name, value in said.items() if value is not ...}
    held = {**safetensors.numpy.load(FILE), **(tensors or {})}
    held = {name: value for name, value in held.items() if value is not None}
    said["digest"] = _digest(said, held)
    return safetensors.numpy.save(held, {_KEY: json.dumps(said)})


def refused(data: bytes, code: str = "invalid_session_file") -> Unprocessable:
    with pytest.raises(Unprocessable) as caught:
        unpack(data)
    assert caught.value.code == code
    return caught.value


def same(one: SessionContents, other: SessionContents) -> None:
    assert replace(one, state=other.state, metadata="") == replace(other, metadata="")
    assert json.loads(one.metadata) == json.loads(other.metadata)
    assert one.state.shape == other.state.shape
    for name, part in one.state.parts.items():
        np.testing.assert_array_equal(part, other.state.parts[name])
    np.testing.assert_array_equal(one.state.document, other.state.document)
    assert (one.state.tokens, one.state.tokens_seen) == (
        other.state.tokens,
        other.state.tokens_seen,
    )


@pytest.mark.parametrize(
    "contents",
    [
        CONTENTS,
        replace(CONTENTS, chunks=()),
        replace(CONTENTS, completed=True, indexed=False, metadata="{}"),
        replace(CONTENTS, next_seq=0, state=unread(WIDTH), chunks=()),
        replace(CONTENTS, state=replace(make_state(), parts=ONE_NUMBER)),
    ],
)
def test_what_was_packed_comes_back_bit_for_bit(contents):
    same(unpack(pack(contents)), contents)
    assert pack(unpack(pack(contents))) == pack(contents)


def test_only_the_newest_chunks_move_with_a_session():
    for chunks in ((chunk(0, 2, 1), chunk(1, 2, 3)), (chunk(1, 2, 1),), CONTENTS.chunks[::-1]):
        with pytest.raises(ValueError, match="newest"):
            replace(CONTENTS, chunks=chunks)


def test_anybody_can_read_it_with_safetensors():
    tensors = safetensors.numpy.load(FILE)
    assert np.linalg.norm(tensors["document_vector"]) == pytest.approx(1, abs=1e-6)
    header, _, _ = parts(FILE)
    assert (header["model"], header["next_seq"], header["format_version"]) == (INFO.id, 3, 1)


@pytest.mark.parametrize("length", [0, 7, 8, 9, 100, 500, len(FILE) - 1])
def test_a_file_cut_short_is_refused(length):
    refused(FILE[:length])
    refused(FILE + b"x")


@settings(max_examples=300, deadline=None)
@given(st.integers(0, len(FILE) * 8 - 1))
def test_any_bit_that_flips_is_found_or_means_nothing(bit):
    data = bytearray(FILE)
    data[bit // 8] ^= 1 << bit % 8
    with suppress(Unprocessable):
        # The upper and lower case of an escaped letter say the same.
        same(unpack(bytes(data)), CONTENTS)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_refused(data):
    refused(data)
    refused(struct.pack("<Q", len(data)) + data)


def test_headers_that_lie_about_their_size_are_refused_before_anything_is_made():
    for length in (2**64 - 1, 2**63, 10**8, 300_000, len(FILE)):
        refused(struct.pack("<Q", length) + FILE[8:])


@pytest.mark.parametrize(
    "entry",
    [
        {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]},
        {"dtype": "F32", "shape": [2**62, 2**62, 0], "data_offsets": [0, 0]},
        {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": [4], "data_offsets": [4, 0]},
        {"dtype": "F32", "shape": [1] * 100, "data_offsets": [0, 4]},
        {"dtype": "O", "shape": [1], "data_offsets": [0, 8]},
        {"dtype": "F32"},
        "F32",
        None,
    ],
)
def test_hostile_tensors_are_refused(entry):
    _, outer, numbers = parts(FILE)
    refused(framed({**outer, "document": entry}, numbers))
    refused(framed({"__metadata__": outer["__metadata__"], "memory/x": entry}, b"\0" * 8))


def test_tensors_that_overlap_are_refused():
    _, outer, numbers = parts(FILE)
    twin = {**outer, "memory/twin": outer["document_vector"]}
    refused(framed(twin, numbers))


@pytest.mark.parametrize(
    "metadata", [None, {}, {_KEY: "["}, {_KEY: "[" * 100_000}, {_KEY: "{}"}, {_KEY: 1}]
)
def test_headers_of_other_kinds_are_refused(metadata):
    _, outer, numbers = parts(FILE)
    refused(framed({**outer, "__metadata__": metadata}, numbers))


@pytest.mark.parametrize(
    "header",
    [
        {"next_seq": -1},
        {"next_seq": 2**60},
        {"next_seq": 1.0},
        {"next_seq": True},
        {"next_seq": 0},
        {"next_seq": 1},
        {"tokens": 3},
        {"tokens": -1},
        {"completed": "false"},
        {"metadata": []},
        {"metadata": "{}"},
        {"metadata": {"a": float("nan")}},
        {"metadata": {"a": [float("inf")]}},
        {"model": "m" * 1000},
        {"fingerprint": None},
        {"session_id": ...},
        {"more": 1},
    ],
)
def test_what_the_header_says_is_checked_although_its_digest_is_right(header):
    refused(forged(**header))


def test_metadata_has_its_bound():
    with pytest.raises(Exception, match="metadata: more than") as caught:
        unpack(forged(metadata={"x": "y" * 20_000}))
    assert caught.value.args[0] == "payload_too_large"


BIG = np.full(WIDTH, np.float32(np.inf), np.float32)


@pytest.mark.parametrize(
    "tensors",
    [
        {"document": None},
        {"document": np.zeros((1, WIDTH))},
        {"document": np.zeros(WIDTH, np.float32)},
        {"document": np.full(WIDTH, np.nan)},
        {"document": np.ones(WIDTH)},
        {"document_vector": None},
        {"document_vector": np.zeros(WIDTH, np.float32)},
        {"memory/matrix": BIG},
        {"memory/matrix": np.zeros((2, 0), np.float32)},
        {"memory/matrix": np.zeros(3, np.float64)},
        {"memory/" + "x" * 65: np.zeros(3, np.float32)},
        {"memory/": np.zeros(3, np.float32)},
        {"memory/ü": np.zeros(3, np.float32)},
        {"memory/many": np.zeros((1,) * 9, np.float32)},
        {"surprise": np.zeros(3, np.float32)},
        {"half": np.zeros(3, np.float16)},
        {"chunks/digest": None},
        {"chunks/digest": np.zeros((2, 31), np.uint8)},
        {"chunks/embedding": np.zeros((2, WIDTH + 1), np.float32)},
        {"chunks/embedding": np.zeros((1, WIDTH), np.float32)},
        {"chunks/tokens": np.array([2, -1], np.int64)},
        {"chunks/tokens": np.array([2, 99], np.int64)},
        {"chunks/tokens": np.array([2, 2], np.int32)},
        {"memory/matrix": None, "memory/normaliser": None, "memory/other.sum": None},
    ],
)
def test_what_the_tensors_are_is_checked_although_the_digest_is_right(tensors):
    refused(forged(tensors))


def test_more_parts_than_a_state_has_room_for():
    refused(forged({f"memory/{i}": np.zeros(1, np.float32) for i in range(65)}))


def test_another_format_is_said_to_be_one():
    for version in (0, 2, "1"):
        error = refused(forged(format_version=version), "unsupported_session_file")
        assert error.extras == {"supported_format_version": 1}


def test_a_digest_of_something_else_is_refused():
    header, outer, numbers = parts(FILE)
    outer["__metadata__"] = {_KEY: json.dumps({**header, "tokens": 6})}
    assert "digest" in refused(framed(outer, numbers)).detail
    same(unpack(forged()), CONTENTS)
