"""Vectors on the wire: shortest float32 decimals, or base64 of little-endian float32."""

import base64
from typing import Any

import numpy as np
import orjson
from fastapi import Response
from numpy.typing import NDArray

from service.schemas.base import EncodingFormat


def encode_vector(
    vector: NDArray[np.float32], encoding: EncodingFormat
) -> NDArray[np.float32] | str:
    """Prepare a vector for `to_json`.

    Args:
        vector: (dimensions,).
        encoding: `float` leaves an array that orjson writes without a Python object per number.
    """
    if encoding == "base64":
        return base64.b64encode(vector.astype("<f4", copy=False).tobytes()).decode("ascii")
    return np.ascontiguousarray(vector, dtype=np.float32)


def to_json(value: Any) -> bytes:
    """Serialise plain values and float32 arrays."""
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)


def json_response(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Answer with JSON."""
    return Response(to_json(value), status, headers, "application/json")
