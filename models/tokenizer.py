"""Text to segments: a WordPiece tokenizer that never truncates."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import tokenizers

from models.errors import TextError, WeightsError
from models.packing import Segment


@dataclass(frozen=True, slots=True)
class TokenizedText:
    """A text's tokens, without CLS and SEP.

    Attributes:
        ids: Token ids.
        pieces: The tokens as the vocabulary spells them.
        offsets: First character of each token in the text, and the one after its last.
    """

    ids: tuple[int, ...]
    pieces: tuple[str, ...]
    offsets: tuple[tuple[int, int], ...]


class Tokenizer:
    """The checkpoint's own tokenizer, with truncation and padding switched off.

    Args:
        file: The checkpoint's `tokenizer.json`.
        max_tokens: Longest segment, CLS and SEP included.

    Raises:
        WeightsError: the file is missing, broken, or has no CLS or SEP.
    """

    def __init__(self, file: Path, max_tokens: int) -> None:
        try:
            self._tokenizer = tokenizers.Tokenizer.from_file(str(file))
        except Exception as error:  # the library raises bare Exception
            raise WeightsError(f"cannot read {file.name}: {error}") from error
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        cls, sep = (self._tokenizer.token_to_id(name) for name in ("[CLS]", "[SEP]"))
        if cls is None or sep is None:
            raise WeightsError(f"{file.name} has no [CLS] or no [SEP]")
        self._cls, self._sep = cls, sep
        self.max_tokens = max_tokens

    def segments(self, texts: Sequence[str]) -> list[list[Segment]]:
        """Cut texts into segments that fit the window.

        Boundaries depend on the text alone: each segment but the last is full. A text without tokens is one segment
        of CLS and SEP.

        Returns:
            For each text its segments in reading order, at least one.

        Raises:
            TextError: a text holds an unpaired surrogate.
        """
        with _unicode_only():
            encodings = self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return [self.cut(encoding.ids) for encoding in encodings]

    def tokenize(self, texts: Sequence[str]) -> list[TokenizedText]:
        """Return each text's tokens with their places in the text; slower than `segments`.

        Raises:
            TextError: a text holds an unpaired surrogate.
        """
        with _unicode_only():
            encodings = self._tokenizer.encode_batch(list(texts), add_special_tokens=False)
        return [
            TokenizedText(tuple(found.ids), tuple(found.tokens), tuple(found.offsets))
            for found in encodings
        ]

    def cut(self, ids: Sequence[int]) -> list[Segment]:
        """Cut a text's token ids into segments, as `segments` does."""
        window = self.max_tokens - 2
        starts = range(0, max(len(ids), 1), window)
        return [Segment((self._cls, *ids[start : start + window], self._sep)) for start in starts]


@contextmanager
def _unicode_only() -> Iterator[None]:
    try:
        yield
    except (TypeError, UnicodeEncodeError) as error:
        raise TextError(f"text is not valid Unicode: {error}") from error
