"""Sequences of different lengths laid end to end, so that no padding is ever computed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby

import torch
from jaxtyping import Bool, Int
from torch import Tensor


@dataclass(frozen=True)
class Segment:
    """Token ids of one window, CLS first and SEP last.

    Attributes:
        ids: Token ids; at least CLS and SEP.
    """

    ids: tuple[int, ...]

    @property
    def content_tokens(self) -> int:
        """Tokens of the text itself: CLS and SEP are not counted."""
        return len(self.ids) - 2


@dataclass(frozen=True)
class Packing:
    """Where each sequence of a packed batch lies.

    Attributes:
        lengths: Tokens of each sequence, CLS and SEP included.
    """

    lengths: tuple[int, ...]

    @cached_property
    def slices(self) -> tuple[slice, ...]:
        """The rows of each sequence."""
        bounds, start = [], 0
        for length in self.lengths:
            bounds.append(slice(start, start + length))
            start += length
        return tuple(bounds)

    @cached_property
    def runs(self) -> tuple[tuple[slice, int], ...]:
        """The rows of each run of neighbours of equal length, and how many they are."""
        runs, start = [], 0
        for length, neighbours in groupby(self.lengths):
            count = len(list(neighbours))
            runs.append((slice(start, start + count * length), count))
            start += count * length
        return tuple(runs)

    @cached_property
    def positions(self) -> Int[Tensor, " n"]:
        """Position of each token in its own sequence, from 0: positions restart in each segment."""
        return torch.cat([torch.arange(length, device="cpu") for length in self.lengths])

    @cached_property
    def content(self) -> Bool[Tensor, " n"]:
        """False for the first and last token of each sequence, CLS and SEP, which a memory must not store.

        By position: a literal "[SEP]" inside a text is text.
        """
        content = torch.ones(sum(self.lengths), dtype=torch.bool, device="cpu")
        for rows in self.slices:
            content[rows.start] = False
            content[rows.stop - 1] = False
        return content


def pack(segments: Sequence[Segment]) -> tuple[Int[Tensor, " n"], Packing]:
    """Lay segments end to end.

    Returns:
        Token ids of all segments, and where each lies.
    """
    ids = torch.tensor([token for segment in segments for token in segment.ids], device="cpu")
    return ids, Packing(tuple(len(segment.ids) for segment in segments))


def full_steps(segments: Sequence[Segment], step_tokens: int) -> Iterator[list[int]]:
    """Yield the indices of segments in steps of at most so many tokens, those of one length together.

    A segment that is longer than that is a step of its own.
    """
    step: list[int] = []
    tokens = 0
    for index in sorted(range(len(segments)), key=lambda i: -len(segments[i].ids)):
        length = len(segments[index].ids)
        if step and tokens + length > step_tokens:
            yield step
            step, tokens = [], 0
        step.append(index)
        tokens += length
    if step:
        yield step
