"""What a recall head looks at: a number, and the tokens around it."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from models.packing import Segment
from models.recall.numbers import NumberPieces, NumberRun


@dataclass(frozen=True, slots=True)
class Windows:
    """Numbers with their surroundings: `reach` places before each and `reach` after it.

    Attributes:
        numbers: Mean state of each number's pieces, *shape* (r, d).
        states: Token states of the surroundings, zero where there is no token, *shape* (r, w, d).
        ids: Token ids, *shape* (r, w).
        present: True for tokens that may be part of an address: of the text, and no number; *shape* (r, w).
    """

    numbers: Float[Tensor, "r d"]
    states: Float[Tensor, "r w d"]
    ids: Int[Tensor, "r w"]
    present: Bool[Tensor, "r w"]

    @classmethod
    def join(cls, parts: Sequence["Windows"]) -> "Windows":
        """Return the numbers of several windows, in order."""
        return cls(
            torch.cat([part.numbers for part in parts]),
            torch.cat([part.states for part in parts]),
            torch.cat([part.ids for part in parts]),
            torch.cat([part.present for part in parts]),
        )

    def take(self, rows: Tensor | slice) -> "Windows":
        """Return some of the numbers."""
        return Windows(self.numbers[rows], self.states[rows], self.ids[rows], self.present[rows])

    def to(self, device: torch.device) -> "Windows":
        """Return the same on a device, states as float32."""
        return Windows(
            self.numbers.to(device).float(),
            self.states.to(device).float(),
            self.ids.to(device),
            self.present.to(device),
        )

    def __len__(self) -> int:
        return len(self.numbers)


def windows_of(
    states: Float[Tensor, "t d"],
    segment: Segment,
    runs: Sequence[NumberRun],
    pieces: NumberPieces,
    reach: int,
) -> Windows:
    """Cut the surroundings of a segment's numbers out of its states.

    Args:
        states: The encoder's states of the segment, CLS and SEP included, *shape* (t, d).
        segment: Its tokens.
        runs: At least one number.
        pieces: What counts as a number's piece.
        reach: Places on either side.
    """
    device, last = states.device, len(segment.ids) - 1
    places = torch.tensor(
        [
            [*range(run.start - reach, run.start), *range(run.stop, run.stop + reach)]
            for run in runs
        ],
        device=device,
    )
    is_text = torch.tensor([i not in pieces for i in segment.ids], device=device)
    is_text[0] = is_text[last] = False
    inside = places.clamp(0, last)
    present = is_text[inside] & (places == inside)
    ids = torch.tensor(segment.ids, device=device)[inside]
    around = states[inside] * present[..., None]
    numbers = torch.stack([states[run.start : run.stop].mean(0) for run in runs])
    return Windows(numbers, around, ids, present)
