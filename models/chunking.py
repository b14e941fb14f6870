"""Cutting a text of any length into chunks, while it arrives.

Chunks are a function of the text alone. However it is fed, character by character or in one piece,
a cut is decided only when the whole window and the character after it are known, or when the text
has ended.
"""
# ruff: noqa: RUF001 - typographic and full-width punctuation is the subject

import re
import unicodedata
from collections.abc import Iterator
from typing import Final

DEFAULT_MAX_CHARS: Final = 1000

_CLOSERS: Final = "[\"'”’»›)\\]}」』）】〉》]*+"
# A full stop ends a sentence only before whitespace (3.14, example.org); CJK puts no space after.
_SENTENCE_END: Final = re.compile(
    rf"(?:[.!?…]{_CLOSERS}(?=\s)|[。！？．｡]{_CLOSERS})\s*+|\n[^\S\n]*+\n\s*+"
)

_ZERO_WIDTH_JOINER: Final = "\u200d"
_SKIN_TONES: Final = ("\U0001f3fb", "\U0001f3ff")
_REGIONAL_INDICATORS: Final = ("\U0001f1e6", "\U0001f1ff")
_VIRAMA: Final = 9  # its canonical combining class
_LONGEST_CLUSTER: Final = 64
"""How far a cut moves back to keep a cluster whole; beyond, a base letter is buried under marks."""


class TextSplitter:
    """Split a text that arrives piece by piece.

    A chunk ends at the last sentence or paragraph end in the second half of the window of
    `max_chars`, else at the last whitespace, else at the window's end. Whitespace stays with the
    chunk before the cut. Characters that display as one (combining marks, emoji sequences, CR LF)
    stay together where that is possible.

    Joined, the chunks are the text, exactly. Memory is bounded by `max_chars` and the piece that is
    fed; time is linear in the text.

    Args:
        max_chars: Longest chunk, in Unicode code points; at least 1.

    Raises:
        ValueError: `max_chars` is less than 1.
    """

    def __init__(self, max_chars: int = DEFAULT_MAX_CHARS) -> None:
        if max_chars < 1:
            raise ValueError(f"max_chars must be at least 1, not {max_chars}")
        self._max_chars = max_chars
        self._pieces: list[str] = []
        self._buffered = 0

    def feed(self, text: str) -> list[str]:
        """Take the next piece of text and return the chunks it settles, often none."""
        if text:
            self._pieces.append(text)
            self._buffered += len(text)
        # Joining only when a cut is due keeps character-wise feeding linear.
        if self._buffered <= self._max_chars:
            return []
        buffer = "".join(self._pieces)
        chunks = []
        start = 0
        while len(buffer) - start > self._max_chars:
            end = start + _cut(buffer[start : start + self._max_chars + 1])
            chunks.append(buffer[start:end])
            start = end
        self._pieces = [buffer[start:]]
        self._buffered = len(buffer) - start
        return chunks

    def finish(self) -> list[str]:
        """End the text: return its last chunk, or nothing; the splitter can then begin again."""
        rest = "".join(self._pieces)
        self._pieces = []
        self._buffered = 0
        return [rest] if rest else []


def split_text(text: str, max_chars: int = DEFAULT_MAX_CHARS) -> Iterator[str]:
    """Yield the chunks of a whole text; see `TextSplitter` for the rules.

    Raises:
        ValueError: `max_chars` is less than 1.
    """
    splitter = TextSplitter(max_chars)
    yield from splitter.feed(text)
    yield from splitter.finish()


def _cut(window: str) -> int:
    """Return how long the chunk is that begins a window of `max_chars` and one more character."""
    max_chars = len(window) - 1
    cut = _sentence_cut(window, max_chars) or _whitespace_cut(window, max_chars) or max_chars
    return _before_cluster(window, cut)


def _sentence_cut(window: str, max_chars: int) -> int | None:
    end = None
    for match in _SENTENCE_END.finditer(window, max_chars // 2):
        end = match.end()
    return None if end is None else min(end, max_chars)


def _whitespace_cut(window: str, max_chars: int) -> int | None:
    if window[max_chars].isspace() or window[max_chars - 1].isspace():
        return max_chars
    words = window[:max_chars].rsplit(maxsplit=1)
    # A single word means no whitespace, or only before it: cutting there would make a blank chunk.
    return max_chars - len(words[1]) if len(words) == 2 else None  # noqa: PLR2004 - head and tail


def _before_cluster(window: str, cut: int) -> int:
    """Move a cut to the front of the cluster it would split; leave it if none begins near by."""
    for moved in range(cut, max(0, cut - _LONGEST_CLUSTER), -1):
        if not _joined(window, moved):
            return moved
    return cut


def _joined(window: str, cut: int) -> bool:
    """Tell whether the characters on both sides of a cut display as one."""
    before, after = window[cut - 1], window[cut]
    if after.isascii():
        return before == "\r" and after == "\n"
    if _ZERO_WIDTH_JOINER in (before, after) or _SKIN_TONES[0] <= after <= _SKIN_TONES[1]:
        return True
    if _is_regional(after):
        return _regional_run(window, cut) % 2 == 1
    # A virama binds the consonants on both sides of it into one syllable.
    return unicodedata.category(after)[0] == "M" or unicodedata.combining(before) == _VIRAMA


def _is_regional(char: str) -> bool:
    return _REGIONAL_INDICATORS[0] <= char <= _REGIONAL_INDICATORS[1]


def _regional_run(window: str, cut: int) -> int:
    """Count the regional indicators right before a cut: flags are pairs of them."""
    run = 0
    while run < min(cut, _LONGEST_CLUSTER) and _is_regional(window[cut - 1 - run]):
        run += 1
    return run
