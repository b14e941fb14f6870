"""A session's state as bytes: a fixed header and contiguous little-endian numbers, nothing else.

Layout, little-endian:

    magic      4 bytes   b"LSST"
    checksum   u32       CRC-32 of everything after this field
    version    u16       1
    reserved   u16       0
    l h k v d  5 x u32   layers, heads, key width, value width, document width
    seen       u64       `tokens_seen` of the memory
    tokens     u64       content tokens of the document
    document   f64 (d,)
    matrix     f32 (l, h, k, v)
    normaliser f32 (l, h, k)

The module needs numpy only, so that a process without torch can answer with document vectors.
Nothing that is executable is ever read back: no pickle, and no size is believed before it is checked.
"""

import struct
import zlib
from dataclasses import dataclass
from math import prod
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

MemoryShape = tuple[int, int, int, int]
"""Layers, heads, key width and value width of a memory."""

NO_MEMORY: Final[MemoryShape] = (0, 0, 0, 0)
"""Shape in the state of a session of which nothing has been read yet."""

_MAGIC: Final = b"LSST"
_VERSION: Final = 1
_PREFIX: Final = struct.Struct("<4sI")
_HEADER: Final = struct.Struct("<HH5IQQ")
_PAYLOAD_AT: Final = _PREFIX.size + _HEADER.size


class CorruptState(Exception):
    """The bytes are not a state that was ever written: never go on from them."""


class UnsupportedState(Exception):
    """The bytes are intact and of a format version this code does not know."""


@dataclass(frozen=True, slots=True)
class StateArrays:
    """A session's state as numpy arrays; whoever holds it must not write to them.

    Attributes:
        matrix: M of the memory, float32, (l, h, k, v).
        normaliser: z of the memory, float32, (l, h, k).
        tokens_seen: Tokens written to the memory.
        document: Sum of chunk vectors times their tokens, float64, (d,).
        tokens: Content tokens of the document; the weights' sum.
    """

    matrix: NDArray[np.float32]
    normaliser: NDArray[np.float32]
    tokens_seen: int
    document: NDArray[np.float64]
    tokens: int

    @property
    def shape(self) -> MemoryShape:
        """Shape of the memory; `NO_MEMORY` while nothing has been read."""
        layers, heads, keys, values = self.matrix.shape
        return layers, heads, keys, values


def unread(dimensions: int) -> StateArrays:
    """Return the state of a session that has read nothing; its memory's shape is the model's affair.

    Args:
        dimensions: Width of the model's vectors.
    """
    return StateArrays(
        matrix=np.zeros(NO_MEMORY, np.float32),
        normaliser=np.zeros(NO_MEMORY[:3], np.float32),
        tokens_seen=0,
        document=np.zeros(dimensions, np.float64),
        tokens=0,
    )


def state_bytes(shape: MemoryShape, dimensions: int) -> int:
    """Return the exact size of an encoded state, bytes; it does not depend on what was read."""
    memory_numbers = prod(shape) + prod(shape[:3])
    return _PAYLOAD_AT + 8 * dimensions + 4 * memory_numbers


def encode(state: StateArrays) -> bytes:
    """Return the state as `state_bytes` bytes; `decode` gives every bit back."""
    body = b"".join(
        (
            _HEADER.pack(
                _VERSION, 0, *state.shape, len(state.document), state.tokens_seen, state.tokens
            ),
            np.ascontiguousarray(state.document, "<f8").tobytes(),
            np.ascontiguousarray(state.matrix, "<f4").tobytes(),
            np.ascontiguousarray(state.normaliser, "<f4").tobytes(),
        )
    )
    return _PREFIX.pack(_MAGIC, zlib.crc32(body)) + body


def decode(blob: bytes) -> StateArrays:
    """Return the state that `encode` was given, as read-only views of `blob`.

    Raises:
        CorruptState: A length, the magic, the checksum or the header is wrong.
        UnsupportedState: The bytes are intact and of another format version.
    """
    if len(blob) < _PAYLOAD_AT:
        raise CorruptState(f"{len(blob)} bytes are too few for a header")
    magic, checksum = _PREFIX.unpack_from(blob)
    if magic != _MAGIC:
        raise CorruptState("the magic number is wrong")
    if zlib.crc32(memoryview(blob)[_PREFIX.size :]) != checksum:
        raise CorruptState("the checksum is wrong")
    version, reserved, *shape, width, seen, tokens = _HEADER.unpack_from(blob, _PREFIX.size)
    if version != _VERSION:
        raise UnsupportedState(f"state format {version}, this code reads {_VERSION}")
    layers, heads, keys, values = shape
    expected = state_bytes((layers, heads, keys, values), width)
    if reserved != 0 or len(blob) != expected:
        raise CorruptState(f"{len(blob)} bytes, the header promises {expected}")
    return StateArrays(
        document=_view(blob, "<f8", _PAYLOAD_AT, (width,)),
        matrix=_view(blob, "<f4", _PAYLOAD_AT + 8 * width, (layers, heads, keys, values)),
        normaliser=_view(blob, "<f4", expected - 4 * prod(shape[:3]), (layers, heads, keys)),
        tokens_seen=seen,
        tokens=tokens,
    )


def document_vector(document: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the running document vector.

    Args:
        document: Sum of chunk vectors times their tokens, float64, (d,).

    Returns:
        float32, (d,), unit length; zeros while no token has been read.
    """
    length = float(np.linalg.norm(document))
    if length == 0.0:
        return np.zeros(document.shape, np.float32)
    return (document / length).astype(np.float32)


def _view(blob: bytes, dtype: str, offset: int, shape: tuple[int, ...]) -> NDArray[Any]:
    return np.frombuffer(blob, dtype, prod(shape), offset).reshape(shape)
