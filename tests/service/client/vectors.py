"""Vectors of the fake service."""

import base64
import hashlib
from typing import Any

import numpy as np

DIMENSIONS = 8


def vector_of(*texts: str) -> np.ndarray[Any, np.dtype[np.float32]]:
    """A vector that depends on every text before it, so that a lost or doubled chunk shows."""
    digest = hashlib.sha256("\0".join(texts).encode()).digest()
    return (np.frombuffer(digest, dtype="<u4").astype(np.float32) / 2**32).astype(np.float32)


def encoded(vector: np.ndarray[Any, np.dtype[np.float32]], form: str) -> Any:
    if form == "base64":
        return base64.b64encode(vector.astype("<f4").tobytes()).decode()
    return [float(value) for value in vector]
