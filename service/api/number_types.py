"""Vectors in fewer bytes, as other vendors' clients ask for them; made of the float32 vector, with no calibration."""

import base64
from typing import Any, Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

NumberType: TypeAlias = Literal["float", "int8", "binary", "ubinary"]
"""`int8`: each vector scaled so that its largest number is 127, to be compared by cosine. `ubinary`: a bit per number,
1 where it is positive, eight to a byte; `binary` the same bytes less 128."""

_LARGEST: Final = 127
_BYTE_MIDDLE: Final = 128


def numbers(
    vector: NDArray[np.float32], kind: NumberType, bits: Literal["big", "little"] = "big"
) -> NDArray[Any]:
    """Return a vector's numbers of a type.

    Args:
        vector: (dimensions,).
        kind: The type.
        bits: Which bit of a byte the first number is in: the highest or the lowest.

    Returns:
        float32 (dimensions,), int8 (dimensions,), int8 or uint8 (dimensions / 8,) rounded up.
    """
    if kind == "float":
        return np.ascontiguousarray(vector, np.float32)
    if kind == "int8":
        largest = float(np.abs(vector).max()) or 1.0
        return np.rint(vector.astype(np.float64) / largest * _LARGEST).astype(np.int8)
    packed = np.packbits(vector > 0, bitorder=bits)
    if kind == "ubinary":
        return packed
    return (packed.astype(np.int16) - _BYTE_MIDDLE).astype(np.int8)


def packed(found: NDArray[Any]) -> str:
    """Return numbers as base64 of their bytes, float32 as little-endian."""
    wire = found.astype("<f4", copy=False) if found.dtype == np.float32 else found
    return base64.b64encode(wire.tobytes()).decode("ascii")
