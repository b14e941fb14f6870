"""One filler, many documents: how often a hidden number is found again.

A filler is encoded once: a recall state is a sum of writes, so what a document of any length leaves in it is the sum
over the filler's chunks and the needles' own. `Passkey.streamed` reads documents segment by segment, to show it.
"""

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import torch

from models.chunking import split_text
from models.evaluate.passkey_filler import Filler
from models.evaluate.passkey_texts import Needle, Needles
from models.packing import Segment
from models.recall import Parts, RecallAnswer

DEPTHS: Final = {"start": 0.0, "middle": 0.5, "end": 1.0}
_Z: Final = 1.96


@dataclass(frozen=True, slots=True)
class Cell:
    """One figure.

    Attributes:
        filler: What the needles lay in.
        task: What was asked.
        tokens: Length of the documents.
        hits: How many times it was so.
        of: How often it was tried.
    """

    filler: str
    task: str
    tokens: int
    hits: int
    of: int

    @property
    def interval(self) -> tuple[float, float]:
        """Return the share's 95 % interval (Wilson)."""
        n, p = self.of, self.hits / self.of
        middle = (p + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
        half = _Z * math.sqrt(p * (1 - p) / n + _Z**2 / (4 * n * n)) / (1 + _Z**2 / n)
        return max(0.0, middle - half), min(1.0, middle + half)


@dataclass(frozen=True, slots=True)
class Hidden:
    """A text put between two words of a filler's chunk.

    Attributes:
        chunk: Place of that chunk in the filler.
        segments: What is read in its stead, cut anew where it has become too long.
        writes: What they add to a state, less what the filler's own chunk would have.
    """

    chunk: int
    segments: list[Segment]
    writes: Parts


class Passkey:
    """Measures one filler.

    Cells of one task use the same needles at every length, so that lengths are compared, not draws.

    Args:
        filler: The text between the needles.
        documents: Documents of a cell.
        seed: Of all draws.
    """

    def __init__(self, filler: Filler, documents: int, seed: int = 0) -> None:
        self._filler, self._documents, self._seed = filler, documents, seed
        self._reader = filler.reader

    def depth(self, phrasing: str, depth: str, lengths: Sequence[int]) -> list[Cell]:
        """Hide one needle at the `start`, in the `middle` or at the `end`, and ask for it."""

        def right(needles: Needles, draw: random.Random) -> list[bool]:
            needle = needles.draw(1, phrasing)[0]
            hidden, asked = self._hide(needle.statement, draw), self._asked(needle)
            found = []
            for tokens in lengths:
                before = round(DEPTHS[depth] * (self._count(tokens) - 1))
                state = self._sum(hidden.chunk - before, tokens, [hidden])
                found.append(asked(state).digits == needle.digits)
            return found

        return self._cells(f"{phrasing}, {depth}", lengths, right)

    def keys(self, count: int, lengths: Sequence[int]) -> list[Cell]:
        """Hide keys of several people and ask for one by name."""

        def right(needles: Needles, draw: random.Random) -> list[bool]:
            drawn = needles.draw(count, "named")
            states = self._scatter([needle.statement for needle in drawn], lengths, draw)
            asked = self._asked(drawn[0])
            return [asked(state).digits == drawn[0].digits for state in states]

        return self._cells(f"{count} keys, by name", lengths, right)

    def distractors(self, lengths: Sequence[int]) -> list[Cell]:
        """Hide one needle, four other people's, and four numbers of the same person that are no keys."""

        def right(needles: Needles, draw: random.Random) -> list[bool]:
            needle, *others = needles.draw(5, "named")
            texts = [needle.statement, *(other.statement for other in others)]
            texts += [needles.bystander(needle.name) for _ in range(4)]
            asked = self._asked(needle)
            return [
                asked(state).digits == needle.digits
                for state in self._scatter(texts, lengths, draw)
            ]

        return self._cells("among 8 distractors", lengths, right)

    def absent(self, others: int, lengths: Sequence[int]) -> list[Cell]:
        """Ask for a key that was not stated, among other people's: the share that is answered all the same."""

        def answered(needles: Needles, draw: random.Random) -> list[bool]:
            needle, *stated = needles.draw(1 + others, "named")
            texts = [other.statement for other in stated]
            asked = self._asked(needle)
            return [asked(state).found for state in self._scatter(texts, lengths, draw)]

        return self._cells(f"answered though absent, {others} other keys", lengths, answered)

    def reset(self, lengths: Sequence[int]) -> list[Cell]:
        """Ask an empty state: the share that is right."""

        def right(needles: Needles, _: random.Random) -> list[bool]:
            needle = needles.draw(1, "named")[0]
            asked = self._asked(needle)
            return [asked(self._reader.head.empty()).digits == needle.digits for _ in lengths]

        return self._cells("right after a reset", lengths, right)

    def streamed(self, tokens: int) -> Cell:
        """Read documents segment by segment: the share whose answer and state are those of the sum."""

        def same(needles: Needles, draw: random.Random) -> list[bool]:
            needle = needles.draw(1, "named")[0]
            hidden, asked = self._hide(needle.statement, draw), self._asked(needle)
            count = self._count(tokens)
            start = hidden.chunk - count // 2
            summed = self._sum(start, tokens, [hidden])
            around = self._filler.read(start, count)
            around[count // 2] = hidden.segments
            segments = [segment for chunk in around for segment in chunk]
            streamed = self._reader.write(segments, self._reader.head.empty())
            close = all(
                torch.allclose(streamed[name], part, atol=1e-4) for name, part in summed.items()
            )
            return [close and asked(streamed).digits == asked(summed).digits]

        return self._cells("streamed as summed", [tokens], same)[0]

    def _cells(
        self,
        task: str,
        lengths: Sequence[int],
        trial: Callable[[Needles, random.Random], list[bool]],
    ) -> list[Cell]:
        hits = [0] * len(lengths)
        for number in range(self._documents):
            seed = f"{self._seed} {self._filler.name} {task} {number}"
            draw = random.Random(seed)  # noqa: S311 - a reproducible sample, no secret
            outcomes = trial(Needles(draw.getrandbits(32)), draw)
            hits = [hit + outcome for hit, outcome in zip(hits, outcomes, strict=True)]
        name, of = self._filler.name, self._documents
        return [Cell(name, task, n, hit, of) for n, hit in zip(lengths, hits, strict=True)]

    def _count(self, tokens: int) -> int:
        """Return the chunks of a document of so many tokens."""
        return math.ceil(tokens * len(self._filler.chunks) / self._filler.tokens)

    def _hide(self, text: str, draw: random.Random, chunk: int | None = None) -> Hidden:
        """Put a text between two words of a chunk, any one if none is given, as if it had stood there before."""
        filler = self._filler
        place = draw.randrange(len(filler.chunks)) if chunk is None else chunk
        words = filler.texts[place].split(" ")
        at = draw.randint(0, len(words))
        parts = split_text(" ".join([*words[:at], text, *words[at:]]))
        segments = [s for cut in self._reader.base.tokenizer.segments(list(parts)) for s in cut]
        writes = self._reader.write_numbers(segments, self._reader.head.empty())
        own = filler.written(place, 1)
        return Hidden(place, segments, {name: part - own[name] for name, part in writes.items()})

    def _scatter(
        self, texts: Sequence[str], lengths: Sequence[int], draw: random.Random
    ) -> list[Parts]:
        """Hide texts in different chunks of the shortest length's span; return the state after each length."""
        start = draw.randrange(len(self._filler.chunks))
        places = draw.sample(range(min(self._count(n) for n in lengths)), len(texts))
        hidden = [
            self._hide(text, draw, (start + place) % len(self._filler.chunks))
            for text, place in zip(texts, places, strict=True)
        ]
        return [self._sum(start, tokens, hidden) for tokens in lengths]

    def _sum(self, start: int, tokens: int, hidden: Sequence[Hidden]) -> Parts:
        """Return the state after a document that begins with a filler chunk, with texts hidden in it."""
        total = self._filler.written(start, self._count(tokens))
        for found in hidden:
            total = {name: part + found.writes[name] for name, part in total.items()}
        return total

    def _asked(self, needle: Needle) -> Callable[[Parts], RecallAnswer]:
        """Encode a needle's question, to be answered from any state."""
        segment = self._reader.base.tokenizer.segments([needle.question])[0][0]
        states = self._reader.states([segment])[0]
        return lambda parts: self._reader.head.answer(states, segment, parts)
