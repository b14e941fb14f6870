"""Numbers as the tokenizer leaves them: runs of pieces such as "73", "##6", "##22"."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from models.tokenizer import Tokenizer

_CONTINUES = "##"


@dataclass(frozen=True, slots=True)
class NumberRun:
    """Neighbouring number pieces of a segment.

    Attributes:
        start: Place of the first piece in the segment.
        stop: Place after the last.
        digits: What they spell.
    """

    start: int
    stop: int
    digits: str


@dataclass(frozen=True)
class NumberPieces:
    """The pieces of a vocabulary that spell digits and nothing else: all that can be stored.

    Attributes:
        pieces: Token id to the piece as the vocabulary spells it.
    """

    pieces: Mapping[int, str]

    @classmethod
    def of(cls, tokenizer: Tokenizer) -> "NumberPieces":
        """Collect the pieces that numbers of up to five digits are cut into."""
        texts = [f"{n:0{digits}d}" for digits in range(1, 6) for n in range(10**digits)]
        found = tokenizer.tokenize(texts)
        pairs = {pair for text in found for pair in zip(text.ids, text.pieces, strict=True)}
        return cls({i: p for i, p in sorted(pairs) if p.removeprefix(_CONTINUES).isdecimal()})

    def __contains__(self, token: int) -> bool:
        return token in self.pieces

    def runs(self, ids: Sequence[int], slots: int, window: int) -> Iterator[NumberRun]:
        """Yield the numbers of a segment that can be stored.

        Passed over are numbers of more digits than there are slots, and those a segment's border cuts: one that begins
        with a continuing piece, and one at the end of a full segment.

        Args:
            ids: Token ids, CLS first and SEP last.
            slots: Most digits.
            window: Tokens of a full segment.
        """
        places = [place for place in range(1, len(ids) - 1) if ids[place] in self]
        for _, group in groupby(enumerate(places), lambda pair: pair[1] - pair[0]):
            run = [place for _, place in group]
            start, stop = run[0], run[-1] + 1
            digits = "".join(self.pieces[ids[p]].removeprefix(_CONTINUES) for p in run)
            begun_before = self.pieces[ids[start]].startswith(_CONTINUES)
            goes_on = len(ids) >= window and stop == len(ids) - 1
            if len(digits) <= slots and not begun_before and not goes_on:
                yield NumberRun(start, stop, digits)
