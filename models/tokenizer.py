"""Text to segments: a WordPiece tokenizer that never truncates."""

from collections.abc import Sequence
from pathlib import Path

import tokenizers

from models.errors import TextError, WeightsError
from models.packing import Segment


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
        try:
            encodings = self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        except (TypeError, UnicodeEncodeError) as error:
            raise TextError(f"text is not valid Unicode: {error}") from error
        return [self._cut(encoding.ids) for encoding in encodings]

    def _cut(self, ids: list[int]) -> list[Segment]:
        window = self.max_tokens - 2
        starts = range(0, max(len(ids), 1), window)
        return [Segment((self._cls, *ids[start : start + window], self._sep)) for start in starts]
