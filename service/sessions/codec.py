"""A session's state as bytes: a header that lists its parts, and contiguous little-endian numbers, nothing else.

Layout, little-endian:

    magic      4 bytes   b"LSST"
    checksum   u32       CRC-32 of everything after this field
    version    u16       2
    parts      u16       parts of the memory, at most 64; none while nothing has been read
    width      u32       d, document width
    seen       u64       `tokens_seen` of the memory
    tokens     u64       content tokens of the document
    of each part, in ascending order of names:
      name     u8 + n    length, 1 to 64, and printable ASCII characters
      shape    u8 + 4 n  number of axes, at most 8, and a u32 of at least 1 for each
    document   f64 (d,)
    of each part, in the same order:
      numbers  f32       of its shape

The module needs numpy only, so that a process without torch can answer with document vectors.
Nothing that is executable is ever read back: no pickle, and no size is believed before it is checked.
"""

import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

MemoryShape = Mapping[str, tuple[int, ...]]
"""Shape of each part of a memory, by name."""

NO_MEMORY: Final[MemoryShape] = {}
"""Shape in the state of a session of which nothing has been read yet."""

MOST_PARTS: Final = 64
MOST_NAME: Final = 64
MOST_AXES: Final = 8

_MAGIC: Final = b"LSST"
_VERSION: Final = 2
_PREFIX: Final = struct.Struct("<4sI")
_HEADER: Final = struct.Struct("<HHIQQ")
_PARTS_AT: Final = _PREFIX.size + _HEADER.size
_LONGEST_AXIS: Final = 2**32 - 1


class CorruptState(Exception):
    """The bytes are not a state that was ever written: never go on from them."""


class UnsupportedState(Exception):
    """The bytes are intact and of a format version this code does not know."""


@dataclass(frozen=True, slots=True)
class StateArrays:
    """A session's state as numpy arrays; whoever holds it must not write to them.

    Attributes:
        parts: Parts of the memory by name, float32; none while nothing has been read.
        tokens_seen: Tokens written to the memory.
        document: Sum of chunk vectors times their tokens, float64, (d,).
        tokens: Content tokens of the document; the weights' sum.
    """

    parts: Mapping[str, NDArray[np.float32]]
    tokens_seen: int
    document: NDArray[np.float64]
    tokens: int

    @property
    def shape(self) -> MemoryShape:
        """Shape of the memory; `NO_MEMORY` while nothing has been read."""
        return {name: part.shape for name, part in self.parts.items()}


def unread(dimensions: int) -> StateArrays:
    """Return the state of a session that has read nothing; its memory's shape is the model's affair.

    Args:
        dimensions: Width of the model's vectors.
    """
    return StateArrays(parts={}, tokens_seen=0, document=np.zeros(dimensions, np.float64), tokens=0)


def state_bytes(shape: MemoryShape, dimensions: int) -> int:
    """Return the exact size of an encoded state, bytes; it does not depend on what was read."""
    listed = sum(2 + len(name) + 4 * len(axes) for name, axes in shape.items())
    return _PARTS_AT + listed + 8 * dimensions + 4 * sum(map(prod, shape.values()))


def encode(state: StateArrays) -> bytes:
    """Return the state as `state_bytes` bytes; `decode` gives every bit back.

    Raises:
        ValueError: There are too many parts, or one has a name or a shape that the format has no room for.
    """
    require_room(state.shape)
    parts = sorted(state.parts.items())
    body = b"".join(
        (
            _HEADER.pack(
                _VERSION, len(parts), len(state.document), state.tokens_seen, state.tokens
            ),
            *(_listed(name, part.shape) for name, part in parts),
            np.ascontiguousarray(state.document, "<f8").tobytes(),
            *(np.ascontiguousarray(part, "<f4").tobytes() for _, part in parts),
        )
    )
    return _PREFIX.pack(_MAGIC, zlib.crc32(body)) + body


def decode(blob: bytes) -> StateArrays:
    """Return the state that `encode` was given, as read-only views of `blob`.

    Raises:
        CorruptState: A length, the magic, the checksum or the header is wrong.
        UnsupportedState: The bytes are intact and of another format version.
    """
    if len(blob) < _PARTS_AT:
        raise CorruptState(f"{len(blob)} bytes are too few for a header")
    magic, checksum = _PREFIX.unpack_from(blob)
    if magic != _MAGIC:
        raise CorruptState("the magic number is wrong")
    if zlib.crc32(memoryview(blob)[_PREFIX.size :]) != checksum:
        raise CorruptState("the checksum is wrong")
    version, count, width, seen, tokens = _HEADER.unpack_from(blob, _PREFIX.size)
    if version != _VERSION:
        raise UnsupportedState(f"state format {version}, this code reads {_VERSION}")
    shape, offset = _read_list(blob, count)
    expected = state_bytes(shape, width)
    if len(blob) != expected:
        raise CorruptState(f"{len(blob)} bytes, the header promises {expected}")
    document = _view(blob, "<f8", offset, (width,))
    offset += document.nbytes
    parts = {}
    for name, axes in shape.items():
        parts[name] = _view(blob, "<f4", offset, axes)
        offset += parts[name].nbytes
    return StateArrays(parts=parts, tokens_seen=seen, document=document, tokens=tokens)


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


def _listed(name: str, axes: tuple[int, ...]) -> bytes:
    """Return a part's entry in the header."""
    return struct.pack(
        f"<B{len(name)}sB{len(axes)}I", len(name), name.encode("ascii"), len(axes), *axes
    )


def _read_list(blob: bytes, count: int) -> tuple[dict[str, tuple[int, ...]], int]:
    """Return the parts that the header lists, and where the list ends."""
    if count > MOST_PARTS:
        raise CorruptState(f"{count} parts, there are at most {MOST_PARTS}")
    shape: dict[str, tuple[int, ...]] = {}
    offset = _PARTS_AT
    try:
        for _ in range(count):
            (length,) = struct.unpack_from("<B", blob, offset)
            name, axes = struct.unpack_from(f"<{length}sB", blob, offset + 1)
            offset += 2 + length
            shape[name.decode("ascii")] = struct.unpack_from(f"<{axes}I", blob, offset)
            offset += 4 * axes
        require_room(shape)
    except (struct.error, ValueError) as error:
        raise CorruptState(f"the list of parts is wrong: {error}") from error
    if len(shape) != count or list(shape) != sorted(shape):
        raise CorruptState("names of parts are not in ascending order")
    return shape, offset


def require_room(shape: MemoryShape) -> None:
    """Refuse what the format cannot hold.

    Raises:
        ValueError: Says what.
    """
    if len(shape) > MOST_PARTS:
        raise ValueError(f"{len(shape)} parts, there are at most {MOST_PARTS}")
    for name, axes in shape.items():
        if not (0 < len(name) <= MOST_NAME and name.isascii() and name.isprintable()):
            raise ValueError(f"{name!r} is no name of a part")
        if len(axes) > MOST_AXES or not all(1 <= axis <= _LONGEST_AXIS for axis in axes):
            raise ValueError(f"{axes} is no shape of a part")


def _view(blob: bytes, dtype: str, offset: int, shape: tuple[int, ...]) -> NDArray[Any]:
    return np.frombuffer(blob, dtype, prod(shape), offset).reshape(shape)
