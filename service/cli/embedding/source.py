"""The text to embed: strict UTF-8 from a file or a pipe, in constant memory."""

import codecs
import hashlib
from collections.abc import Iterable, Iterator
from io import BufferedIOBase
from pathlib import Path
from typing import Final

from models.chunking import TextSplitter
from service.cli.embedding.errors import SourceError

_READ_SIZE: Final = 65_536
_BYTE_ORDER_MARK: Final = "\ufeff"


class TextReader:
    """Decodes a binary stream piece by piece; a byte order mark at its beginning is dropped.

    Args:
        stream: Where bytes come from; a pipe's are taken as soon as they are there.
        name: What messages call it.
    """

    def __init__(self, stream: BufferedIOBase, name: str) -> None:
        self._stream = stream
        self._name = name
        self._sha256 = hashlib.sha256()
        self._bytes_read = 0

    @property
    def sha256(self) -> str:
        """Digest of all bytes read so far."""
        return self._sha256.hexdigest()

    def __iter__(self) -> Iterator[str]:
        """Yield the text.

        Raises:
            SourceError: the bytes are not UTF-8; names the offset of the first that is not.
        """
        decoder = codecs.getincrementaldecoder("utf-8")("strict")
        begun = False
        while True:
            data = self._stream.read1(_READ_SIZE)
            text = self._decode(decoder, data)
            if text and not begun:
                begun = True
                text = text.removeprefix(_BYTE_ORDER_MARK)
            if text:
                yield text
            if not data:
                return

    def _decode(self, decoder: codecs.IncrementalDecoder, data: bytes) -> str:
        # The decoder counts from the first byte it still holds of an unfinished character.
        begin = self._bytes_read - len(decoder.getstate()[0])
        self._bytes_read += len(data)
        self._sha256.update(data)
        try:
            return decoder.decode(data, final=not data)
        except UnicodeDecodeError as error:
            raise SourceError(
                f"{self._name} is not UTF-8: {error.reason} at byte {begin + error.start}"
            ) from error


def file_sha256(path: Path) -> str:
    """Return the digest of a file.

    Raises:
        SourceError: it is missing, unreadable or no regular file.
    """
    if path.exists() and not path.is_file():
        raise SourceError(f"{path} is no regular file: use - to read a pipe")
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise SourceError(f"cannot read {path}: {error.strerror}") from error


def chunks_of(pieces: Iterable[str], max_chars: int) -> Iterator[str]:
    """Yield the chunks of a text that comes in pieces."""
    splitter = TextSplitter(max_chars)
    for piece in pieces:
        yield from splitter.feed(piece)
    yield from splitter.finish()
