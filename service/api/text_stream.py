"""Bytes that arrive into chunks, holding no more than a few of them at a time."""

import codecs
from collections.abc import AsyncIterator
from typing import Final

from models.chunking import TextSplitter
from service.errors import BadRequest

_SLICE_BYTES: Final = 1024


async def split_stream(pieces: AsyncIterator[bytes], chunk_chars: int) -> AsyncIterator[str]:
    """Decode and split a body while it arrives.

    The next piece is asked for only when every chunk that the last one settled was taken, which is the
    backpressure a client feels.

    Args:
        pieces: The body, cut anywhere.
        chunk_chars: Longest chunk, in code points.

    Yields:
        The chunks; joined they are the text.

    Raises:
        BadRequest: not UTF-8.
    """
    decoder = codecs.getincrementaldecoder("utf-8")("strict")
    splitter = TextSplitter(chunk_chars)
    # A server may hand over megabytes at once: they are decoded a few chunks at a time.
    step = max(chunk_chars, _SLICE_BYTES)
    async for piece in pieces:
        for start in range(0, len(piece), step):
            for chunk in splitter.feed(_decode(decoder, piece[start : start + step])):
                yield chunk
    for chunk in splitter.feed(_decode(decoder, b"", final=True)):
        yield chunk
    for chunk in splitter.finish():
        yield chunk


def _decode(decoder: codecs.IncrementalDecoder, data: bytes, *, final: bool = False) -> str:
    try:
        return decoder.decode(data, final)
    except UnicodeDecodeError as error:
        raise BadRequest(
            "invalid_request", f"The body is not UTF-8: {error.reason}; send the text as UTF-8."
        ) from None
