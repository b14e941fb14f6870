"""Bytes that arrive into groups of chunks, holding no more than a few chunks at a time."""

import codecs
from collections.abc import AsyncIterator
from typing import Final

from models.chunking import TextSplitter
from service.errors import BadRequest

GROUP: Final = 4
"""Most chunks in one append: enough to share its cost, few enough to answer soon."""
_SLICE_BYTES: Final = 1024


async def chunk_groups(
    pieces: AsyncIterator[bytes], chunk_chars: int
) -> AsyncIterator[tuple[str, ...]]:
    """Decode and split a body while it arrives.

    A group is handed on when it is full or when everything that has arrived is split; the next piece is
    asked for only after that, which is the backpressure a client feels.

    Args:
        pieces: The body, cut anywhere.
        chunk_chars: Longest chunk, in code points.

    Raises:
        BadRequest: not UTF-8.
    """
    decoder = codecs.getincrementaldecoder("utf-8")("strict")
    splitter = TextSplitter(chunk_chars)
    ready: list[str] = []
    # A server may hand over megabytes at once: they are decoded a few chunks at a time.
    step = max(chunk_chars, _SLICE_BYTES)
    async for piece in pieces:
        for start in range(0, len(piece), step):
            ready += splitter.feed(_decode(decoder, piece[start : start + step]))
            while len(ready) >= GROUP:
                yield tuple(ready[:GROUP])
                del ready[:GROUP]
        if ready:
            yield tuple(ready)
            ready = []
    ready = splitter.feed(_decode(decoder, b"", final=True)) + splitter.finish()
    if ready:
        yield tuple(ready)


def _decode(decoder: codecs.IncrementalDecoder, data: bytes, *, final: bool = False) -> str:
    try:
        return decoder.decode(data, final)
    except UnicodeDecodeError as error:
        raise BadRequest(
            "invalid_request", f"The body is not UTF-8: {error.reason}; send the text as UTF-8."
        ) from None
