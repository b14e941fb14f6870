"""Vectors on the wire: shortest float32 decimals, or base64 of little-endian float32."""

import asyncio
import base64
import time
from collections.abc import Iterable
from typing import Any, Final

import numpy as np
import orjson
from fastapi import Response
from numpy.typing import NDArray

from service.schemas.base import EncodingFormat

TURN_S: Final = 0.005
"""How long serialising may keep the event loop from the other requests; one item is never cut."""


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


async def json_array(items: Iterable[Any]) -> orjson.Fragment:
    """Serialise the items of an array one by one, and let other requests have their turns in between.

    orjson holds the interpreter's lock, so a thread would not help: millions of numbers stop everybody for as long as
    they take.

    Args:
        items: What `to_json` takes; made as they are needed, so making them is done in turns, too.

    Returns:
        What stands for the array in the value of a `json_response`.
    """
    written = []
    begun = time.perf_counter()
    for item in items:
        written.append(to_json(item))
        if time.perf_counter() - begun > TURN_S:
            await asyncio.sleep(0)
            begun = time.perf_counter()
    return orjson.Fragment(b"[" + b",".join(written) + b"]")


def json_response(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Answer with JSON."""
    return Response(to_json(value), status, headers, "application/json")
