"""Which chunks go into one request."""

import json
from collections.abc import Iterable, Iterator
from typing import Final

REQUEST_BYTES: Final = 2**20
"""Largest body of a request; half of what a service takes unless it is set up otherwise."""

_ENVELOPE_BYTES: Final = 1024
"""More than everything in a body that is not a chunk."""


def batches_of(chunks: Iterable[str], longest: int) -> Iterator[list[str]]:
    """Yield chunks in batches of at most `longest` that fit into one request.

    A chunk that is too large for any request makes a batch of its own.
    """
    batch: list[str] = []
    size = _ENVELOPE_BYTES
    for chunk in chunks:
        extra = _json_bytes(chunk)
        if batch and size + extra > REQUEST_BYTES:
            yield batch
            batch, size = [], _ENVELOPE_BYTES
        batch.append(chunk)
        size += extra
        # At once: what a pipe has given so far must not wait for its next line.
        if len(batch) == longest:
            yield batch
            batch, size = [], _ENVELOPE_BYTES
    if batch:
        yield batch


def _json_bytes(chunk: str) -> int:
    """Return the bytes of a chunk in a body, with its comma."""
    return len(json.dumps(chunk, ensure_ascii=False).encode()) + 1
