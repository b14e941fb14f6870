import struct
import zlib
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from service.sessions.codec import (
    NO_MEMORY,
    CorruptState,
    StateArrays,
    UnsupportedState,
    decode,
    document_vector,
    encode,
    state_bytes,
    unread,
)
from tests.service.sessions.fakes import SHAPE, WIDTH, make_state


def bits(state: StateArrays) -> tuple[dict[str, bytes], bytes, int, int]:
    return (
        {name: part.tobytes() for name, part in state.parts.items()},
        state.document.tobytes(),
        state.tokens_seen,
        state.tokens,
    )


def header(count: int, listed: bytes, version: int = 2, width: int = 0) -> bytes:
    return struct.pack("<HHIQQ", version, count, width, 0, 0) + listed


def listed(name: bytes, *axes: int) -> bytes:
    return bytes([len(name)]) + name + bytes([len(axes)]) + struct.pack(f"<{len(axes)}I", *axes)


def resealed(body: bytes) -> bytes:
    """Return `body` under a checksum that is right."""
    return b"LSST" + struct.pack("<I", zlib.crc32(body)) + body


NAMES = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=64)
SHAPES = st.dictionaries(NAMES, hnp.array_shapes(min_dims=0, max_dims=5, max_side=3), max_size=4)


@given(
    shape=SHAPES,
    width=st.integers(0, 5),
    counts=st.tuples(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1)),
    data=st.data(),
)
def test_every_bit_comes_back(shape, width, counts, data):
    # Random bit patterns: denormals, infinities and every kind of NaN among them.
    def draw(kind: str, size: tuple[int, ...]) -> NDArray[Any]:
        unsigned = data.draw(hnp.arrays(f"<u{np.dtype(kind).itemsize}", size))
        bits_drawn: NDArray[Any] = unsigned.view(kind)
        return bits_drawn

    state = StateArrays(
        parts={name: draw("<f4", axes) for name, axes in shape.items()},
        tokens_seen=counts[0],
        document=draw("<f8", (width,)),
        tokens=counts[1],
    )
    blob = encode(state)
    again = decode(blob)
    assert bits(again) == bits(state)
    assert again.shape == shape
    assert {part.dtype.str for part in again.parts.values()} <= {"<f4"}
    assert again.document.dtype.str == "<f8"
    assert len(blob) == state_bytes(shape, width)
    assert encode(again) == blob


def test_size_depends_on_the_shape_and_not_on_what_was_read():
    few = make_state()
    large = {name: part * 1e9 for name, part in few.parts.items()}
    many = replace(few, tokens_seen=10**7, tokens=10**7, parts=large)
    assert len(encode(few)) == len(encode(many)) == state_bytes(SHAPE, WIDTH)
    # The reference encoder: 6 layers, 12 heads of 32 x 32, width 384.
    reference = {"matrix": (6, 12, 32, 32), "normaliser": (6, 12, 32)}
    in_header = 32 + (2 + 6 + 4 * 4) + (2 + 10 + 3 * 4)
    assert state_bytes(reference, 384) == in_header + 304_128 + 8 * 384


def test_equal_states_are_equal_bytes_in_whatever_order_their_parts_came():
    state = make_state()
    assert encode(replace(state, parts=dict(reversed(list(state.parts.items()))))) == encode(state)


def test_a_strided_array_is_stored_in_order():
    state = make_state()
    strided = {name: np.asfortranarray(part) for name, part in state.parts.items()}
    assert not strided["matrix"].flags.c_contiguous
    assert encode(replace(state, parts=strided)) == encode(state)


def test_every_single_bit_flip_is_found():
    blob = encode(make_state())
    for position in range(8 * len(blob)):
        broken = bytearray(blob)
        broken[position // 8] ^= 1 << (position % 8)
        with pytest.raises(CorruptState):
            decode(bytes(broken))


def test_every_truncation_and_any_extra_byte_is_found():
    blob = encode(make_state())
    for length in range(len(blob)):
        with pytest.raises(CorruptState):
            decode(blob[:length])
    with pytest.raises(CorruptState):
        decode(blob + b"\0")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (header(1, listed(b"a", *[2**32 - 1] * 8)), "promises"),
        (header(0, b"", width=2**32 - 1), "promises"),
        (header(2**16 - 1, b""), "at most 64"),
        (header(1, b"\xff" + b"a" * 255), "list of parts"),
        (header(1, listed(b"a", *[1] * 9)), "no shape"),
        (header(1, listed(b"a", 2, 0)), "no shape"),
        (header(1, listed(b"")), "no name"),
        (header(1, listed(b"\xff")), "list of parts"),
        (header(1, listed(b"a\n")), "no name"),
        (header(1, listed(b"a" * 65)), "no name"),
        (header(2, listed(b"a", 1)), "list of parts"),
        (header(2, listed(b"a") * 2 + b"\0" * 8), "ascending"),
        (header(2, listed(b"b") + listed(b"a") + b"\0" * 8), "ascending"),
        (header(1, listed(b"a", 3) + b"\0" * 8), "promises"),
        (header(1, listed(b"a", 1) + b"\0" * 8), "promises"),
    ],
)
def test_a_header_with_a_right_checksum_is_not_believed_either(body, message):
    with pytest.raises(CorruptState, match=message):
        decode(resealed(body))


@pytest.mark.parametrize(
    "shape",
    [
        {"": (1,)},
        {"ü": (1,)},
        {"a" * 65: (1,)},
        {"a": (1,) * 9},
        {"a": (0,)},
        {str(number): () for number in range(65)},
    ],
)
def test_nothing_is_written_that_could_not_be_read_back(shape):
    parts = {name: np.zeros(axes, np.float32) for name, axes in shape.items()}
    with pytest.raises(ValueError, match="part"):
        encode(replace(make_state(), parts=parts))


@pytest.mark.parametrize("version", [1, 3])
def test_another_format_version_is_not_called_corrupt(version):
    body = bytearray(encode(make_state())[8:])
    body[:2] = struct.pack("<H", version)
    with pytest.raises(UnsupportedState, match=f"format {version}"):
        decode(resealed(bytes(body)))


def test_a_state_of_the_first_format_is_not_called_corrupt():
    first = struct.pack("<HH5IQQ", 1, 0, 1, 1, 1, 1, 0, 7, 7) + b"\0" * 8
    with pytest.raises(UnsupportedState, match="format 1"):
        decode(resealed(first))


def test_decoded_arrays_cannot_be_written():
    state = decode(encode(make_state()))
    with pytest.raises(ValueError, match="read-only"):
        state.parts["matrix"][0] = 0


def test_an_unread_state_has_no_memory_and_a_zero_vector():
    state = decode(encode(unread(WIDTH)))
    assert state.shape == NO_MEMORY == {}
    assert (state.tokens, state.tokens_seen) == (0, 0)
    np.testing.assert_array_equal(document_vector(state.document), np.zeros(WIDTH, np.float32))


def test_document_vector_is_a_unit_vector_in_float32():
    vector = document_vector(np.array([3.0e9, 0.0, 4.0e9]))
    assert vector.dtype == np.float32
    np.testing.assert_allclose(vector, [0.6, 0, 0.8], rtol=1e-7)
