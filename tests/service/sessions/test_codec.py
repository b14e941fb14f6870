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


def bits(state: StateArrays) -> tuple[bytes, bytes, bytes, int, int]:
    return (
        state.matrix.tobytes(),
        state.normaliser.tobytes(),
        state.document.tobytes(),
        state.tokens_seen,
        state.tokens,
    )


def resealed(body: bytes) -> bytes:
    """Return `body` under a checksum that is right."""
    return b"LSST" + struct.pack("<I", zlib.crc32(body)) + body


@given(
    shape=hnp.array_shapes(min_dims=4, max_dims=4, max_side=3),
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
        matrix=draw("<f4", shape),
        normaliser=draw("<f4", shape[:3]),
        tokens_seen=counts[0],
        document=draw("<f8", (width,)),
        tokens=counts[1],
    )
    blob = encode(state)
    again = decode(blob)
    assert bits(again) == bits(state)
    assert again.shape == shape
    assert (again.matrix.dtype.str, again.document.dtype.str) == ("<f4", "<f8")
    assert len(blob) == state_bytes(shape, width)
    assert encode(again) == blob


def test_size_depends_on_the_shape_and_not_on_what_was_read():
    few = make_state()
    many = replace(few, tokens_seen=10**12, tokens=10**12, matrix=few.matrix * 1e9)
    assert len(encode(few)) == len(encode(many)) == state_bytes(SHAPE, WIDTH)
    # The reference encoder: 6 layers, 12 heads of 32 x 32, width 384.
    assert state_bytes((6, 12, 32, 32), 384) == 48 + 304_128 + 8 * 384


def test_a_strided_array_is_stored_in_order():
    state = make_state()
    strided = replace(state, matrix=np.asfortranarray(state.matrix))
    assert encode(strided) == encode(state)


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


def test_a_promise_of_terabytes_allocates_nothing():
    header = struct.pack("<HH5IQQ", 1, 0, *[2**32 - 1] * 5, 0, 0)
    with pytest.raises(CorruptState, match="promises"):
        decode(resealed(header))


@pytest.mark.parametrize("shape", [(0, 5, 5, 5), (1, 1, 1, 0)])
def test_right_checksum_with_a_wrong_length_is_corrupt(shape):
    header = struct.pack("<HH5IQQ", 1, 0, *shape, 0, 0, 0)
    with pytest.raises(CorruptState):
        decode(resealed(header + b"\0" * 8))


def test_another_format_version_is_not_called_corrupt():
    body = bytearray(encode(make_state())[8:])
    body[:2] = struct.pack("<H", 2)
    with pytest.raises(UnsupportedState, match="format 2"):
        decode(resealed(bytes(body)))


def test_decoded_arrays_cannot_be_written():
    state = decode(encode(make_state()))
    with pytest.raises(ValueError, match="read-only"):
        state.matrix[0] = 0


def test_an_unread_state_has_no_memory_and_a_zero_vector():
    state = decode(encode(unread(WIDTH)))
    assert state.shape == NO_MEMORY
    assert (state.tokens, state.tokens_seen) == (0, 0)
    np.testing.assert_array_equal(document_vector(state.document), np.zeros(WIDTH, np.float32))


def test_document_vector_is_a_unit_vector_in_float32():
    vector = document_vector(np.array([3.0e9, 0.0, 4.0e9]))
    assert vector.dtype == np.float32
    np.testing.assert_allclose(vector, [0.6, 0, 0.8], rtol=1e-7)
