"""Texts of a wanted number of tokens, out of the book that ships with the demo."""

import random
from collections.abc import Callable, Iterator, Sequence
from typing import Final, Self

from loadtests.bench.errors import BenchError
from loadtests.book import book_text
from models.tokenizer import Tokenizer
from models.weights import locate

CountTokens = Callable[[Sequence[str]], Sequence[int]]
"""The number of tokens, without CLS and SEP, of each of some words."""

_TRIES: Final = 1000


class Corpus:
    """The words of a text, each with its number of tokens.

    WordPiece never merges across whitespace, so the tokens of a text are the sum over its words.

    Args:
        text: Any text with words in it.
        count: Counts the tokens of words.

    Raises:
        BenchError: the text has no words.
    """

    def __init__(self, text: str, count: CountTokens) -> None:
        self._words = text.split()
        if not self._words:
            raise BenchError("a corpus needs a text with words in it")
        vocabulary = sorted(set(self._words))
        self._of_word = dict(zip(vocabulary, count(vocabulary), strict=True))
        self._tokens = [self._of_word[word] for word in self._words]

    @classmethod
    def of_the_book(cls, weights: str) -> Self:
        """Read the bundled book with the tokenizer of a checkpoint, `package:NAME` or a directory."""
        tokenizer = Tokenizer(locate(weights).file("tokenizer.json"), max_tokens=512)
        return cls(
            book_text(None),
            lambda words: [len(found.ids) for found in tokenizer.tokenize(words)],
        )

    def draw(self, rng: random.Random, tokens: int) -> str:
        """Return consecutive words from a random place that have exactly so many tokens.

        Raises:
            BenchError: no place gave exactly that many.
        """
        for _ in range(_TRIES):
            start = rng.randrange(len(self._words))
            end, found = self._walk(start, tokens)
            if found == tokens:
                return " ".join(self._words[start:end])
        raise BenchError(f"found no text of exactly {tokens} tokens; ask for another length")

    def read(self, start: int, lengths: Iterator[int]) -> Iterator[str]:
        """Yield consecutive texts of at most so many tokens each, from a word on, the book over and over."""
        at = start % len(self._words)
        for tokens in lengths:
            end, _ = self._walk(at, tokens)
            end = max(end, at + 1)
            yield " ".join(self._words[at:end])
            at = end % len(self._words)

    def count(self, text: str) -> int:
        """Return the tokens of a text made of the corpus' words."""
        return sum(self._of_word[word] for word in text.split())

    def __len__(self) -> int:
        return len(self._words)

    def _walk(self, start: int, tokens: int) -> tuple[int, int]:
        """Return where to end so as not to exceed a number of tokens, and the number reached."""
        found, at = 0, start
        while at < len(self._words) and found + self._tokens[at] <= tokens:
            found += self._tokens[at]
            at += 1
        return at, found
