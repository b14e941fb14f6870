"""Filler of any length whose writes to a recall state are known after it has been encoded once."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from models.chunking import split_text
from models.evaluate.errors import EvaluationError
from models.loading import LoadedEncoder
from models.packing import Segment
from models.recall import GRAM, Parts, RecallHead

_AT_ONCE = 32


class Reader:
    """Encodes texts and writes them to recall states; float32 throughout, as a service would.

    Args:
        base: The frozen encoder.
        head: The recall head.
    """

    def __init__(self, base: LoadedEncoder, head: RecallHead) -> None:
        self.base, self.head = base, head

    def states(self, segments: Sequence[Segment]) -> list[Tensor]:
        """Encode segments of any lengths."""
        found: list[Tensor] = []
        with torch.inference_mode():
            for start in range(0, len(segments), _AT_ONCE):
                batch = segments[start : start + _AT_ONCE]
                found += self.base.encoder.states(batch, self.head.options.layer)
        return found

    def write(self, segments: Sequence[Segment], parts: Parts) -> Parts:
        """Return the state after segments, read one by one."""
        with torch.inference_mode():
            for x, segment in zip(self.states(segments), segments, strict=True):
                parts = self.head.write(x, segment, parts)
        return parts

    def write_numbers(self, segments: Sequence[Segment], parts: Parts) -> Parts:
        """Do what `write` does, but encode only segments with numbers; nothing else can change a state."""
        return self.write([s for s in segments if self.has_numbers(s)], parts)

    def has_numbers(self, segment: Segment) -> bool:
        """Tell whether a segment holds a number piece: others cannot change a state."""
        return any(token in self.head.pieces for token in segment.ids)


@dataclass(frozen=True)
class Filler:
    """A text to hide needles in, chunk by chunk as a client sends it; it goes round where a document is longer.

    Attributes:
        name: How a report calls it.
        texts: Its chunks.
        reader: Encodes it.
    """

    name: str
    texts: Sequence[str]
    reader: Reader

    @classmethod
    def of(cls, name: str, text: str, reader: Reader) -> "Filler":
        """Cut a text into chunks.

        Raises:
            EvaluationError: there is nothing in it.
        """
        chunks = [chunk for chunk in split_text(text) if chunk.strip()]
        if not chunks:
            raise EvaluationError(f"filler {name} is empty")
        return cls(name, chunks, reader)

    @cached_property
    def chunks(self) -> list[list[Segment]]:
        """The segments of each chunk, mostly one."""
        return self.reader.base.tokenizer.segments(self.texts)

    @cached_property
    def tokens(self) -> int:
        """Tokens of the whole text."""
        return sum(segment.content_tokens for chunk in self.chunks for segment in chunk)

    @cached_property
    def numbers(self) -> int:
        """Number pieces in the whole text."""
        pieces = self.reader.head.pieces
        return sum(
            i in pieces for chunk in self.chunks for segment in chunk for i in segment.ids[1:-1]
        )

    @cached_property
    def _writes(self) -> dict[int, Parts]:
        """What each chunk adds to a state, for those that add anything."""
        reader = self.reader
        found: dict[int, Parts] = {}
        segments = [(place, s) for place, chunk in enumerate(self.chunks) for s in chunk]
        numbered = [(place, s) for place, s in segments if reader.has_numbers(s)]
        states = reader.states([segment for _, segment in numbered])
        with torch.inference_mode():
            for x, (place, segment) in zip(states, numbered, strict=True):
                before = found.get(place, reader.head.empty())
                parts = reader.head.write(x, segment, before)
                if parts[GRAM].any():
                    found[place] = parts
        return found

    @property
    def leaks(self) -> int:
        """Chunks that write although nothing in them asks to be remembered."""
        return len(self._writes)

    def written(self, start: int, count: int) -> Parts:
        """Return what `count` chunks from `start` on add to a state: a state is a sum."""
        total = {name: part.clone() for name, part in self.reader.head.empty().items()}
        for place, parts in self._writes.items():
            offset = (place - start) % len(self.chunks)
            rounds = (count - offset + len(self.chunks) - 1) // len(self.chunks)
            for name, part in parts.items():
                total[name] += max(0, rounds) * part
        return total

    def read(self, start: int, count: int) -> list[list[Segment]]:
        """Return the segments of those chunks themselves."""
        return [self.chunks[(start + i) % len(self.chunks)] for i in range(count)]
