"""The recall head: which numbers of a segment to keep, under which address, and how to find them again."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from models.memory import Shapes
from models.packing import Segment
from models.recall.codes import token_codes
from models.recall.memory import GRAM, Parts, add, part_shapes, read
from models.recall.numbers import NumberPieces
from models.recall.options import END, SYMBOLS, RecallOptions
from models.recall.windows import Windows, windows_of

_NOTHING = 1e-2
"""Length below which an address fades, so that a number that nothing addresses is not blown up to length 1."""

_DROPPED = 0.3
_FAR = -1e4
"""Logit of places without a token; finite, so that a number without surroundings has a context, too: nothing."""


@dataclass(frozen=True, slots=True)
class Records:
    """What numbers would be written as.

    Attributes:
        addresses: Length 1, or less where hardly anything addresses the number; *shape* (r, c).
        weights: 0 for a number that is not to be kept, exactly; at most 1; *shape* (r,).
        scores: The gate before it is clamped to 0 and 1, *shape* (r,).
    """

    addresses: Tensor
    weights: Tensor
    scores: Tensor


@dataclass(frozen=True, slots=True)
class RecallAnswer:
    """What a head remembers.

    Attributes:
        digits: The number; empty if none was found.
        confidence: Vote of each digit, 1 for a number that was stored just as it is asked for.
        found: False if a vote is below the least, or nothing was ever written.
    """

    digits: str
    confidence: tuple[float, ...]
    found: bool


class RecallHead(nn.Module):
    """Copies numbers that are to be remembered from a frozen encoder's segments into a state, and back.

    Learned are the gate (from the number's state and its surroundings, attended to for cues), which tokens around a
    number address it, and which tokens of a question ask for it. Not learned are the tokens' codes, what pieces spell,
    and the memory's rule.

    Args:
        options: Shapes and thresholds.
        pieces: The vocabulary's number pieces.
    """

    def __init__(self, options: RecallOptions, pieces: NumberPieces) -> None:
        super().__init__()
        self.options, self.pieces = options, pieces
        self.number_query = nn.Linear(options.width, options.attention)
        self.token_key = nn.Linear(options.width, options.attention)
        self.distance = nn.Parameter(torch.full((2 * options.reach,), -2.0))
        self.cue = nn.Linear(options.width, 1)
        self.cue_distance = nn.Parameter(torch.zeros(2 * options.reach))
        self.gate_hidden = nn.Linear(2 * options.width, options.hidden)
        self.gate_score = nn.Linear(options.hidden, 1)
        self.question_hidden = nn.Linear(options.width, options.hidden)
        self.question_score = nn.Linear(options.hidden, 1)
        # Of the gate alone, which would learn its sentences by heart.
        self.dropout = nn.Dropout(_DROPPED)

    @property
    def memory_parts(self) -> Shapes:
        """Shape of each part of one sequence's memory, all float32."""
        return part_shapes(self.options)

    def empty(self) -> Parts:
        """Return the state of a text of which nothing has been read."""
        device = self.distance.device
        return {
            name: torch.zeros(shape, device=device) for name, shape in self.memory_parts.items()
        }

    def write(self, states: Float[Tensor, "t d"], segment: Segment, parts: Parts) -> Parts:
        """Return the state after a segment; its tensors are those of `parts` if the segment has no number.

        Args:
            states: The encoder's states after `options.layer` layers, CLS and SEP included, *shape* (t, d).
            segment: The tokens of those states.
            parts: State before the segment; what is not the head's is left out.
        """
        parts = {name: parts[name] for name in self.memory_parts}
        runs = list(self.pieces.runs(segment.ids, self.options.slots, self.options.window))
        if not runs:
            return parts
        found = self.records(windows_of(states, segment, runs, self.pieces, self.options.reach))
        values = self.values([run.digits for run in runs])
        return add(parts, found.addresses, values, found.weights)

    def answer(self, states: Float[Tensor, "t d"], segment: Segment, parts: Parts) -> RecallAnswer:
        """Look up the number that a question asks for.

        Args:
            states: The encoder's states of the question after as many layers, *shape* (t, d).
            segment: Its tokens.
            parts: State to look in; it is not changed.
        """
        [found] = self.answers([states], [segment], parts)
        return found

    def answers(
        self, states: Sequence[Tensor], segments: Sequence[Segment], parts: Parts
    ) -> list[RecallAnswer]:
        """Do the same for questions to one state, which is solved for all of them at once."""
        if not parts[GRAM].any():
            return [RecallAnswer("", (), found=False)] * len(segments)
        with torch.no_grad():
            asked = [self.asked(*each) for each in zip(states, segments, strict=True)]
            votes = self.votes(parts, torch.stack(asked))
        return [self._answer(each) for each in votes]

    def _answer(self, votes: Float[Tensor, "slots symbols"]) -> RecallAnswer:
        symbols = votes.argmax(-1).tolist()
        length = symbols.index(END) if END in symbols else len(symbols)
        confidence = tuple(vote.item() for vote in votes[:length].amax(-1))
        found = length > 0 and min(confidence) >= self.options.least_vote
        digits = "".join(map(str, symbols[:length])) if found else ""
        return RecallAnswer(digits, confidence, found)

    def records(self, windows: Windows) -> Records:
        """Find each number's address and whether it is to be kept."""
        codes = token_codes(windows.ids, self.options.code)
        addresses = _unit(torch.einsum("rw,rwc->rc", self._shares(windows), codes))
        scores = self.scores(windows)
        return Records(addresses, scores.clamp(0, 1), scores)

    def scores(self, windows: Windows) -> Float[Tensor, " r"]:
        """Return what the gate says of numbers before it is clamped; a number above 0 is written."""
        fit = self.cue(windows.states)[..., 0] + self.cue_distance
        cues = fit.masked_fill(~windows.present, _FAR).softmax(-1)
        context = torch.einsum("rw,rwd->rd", cues, windows.states)
        seen = self.dropout(torch.cat([windows.numbers, context], -1))
        hidden = self.dropout(F.gelu(self.gate_hidden(seen)))
        return self.gate_score(hidden)[:, 0]  # type: ignore[no-any-return] # nn.Module.__call__

    def _shares(self, windows: Windows) -> Float[Tensor, "r w"]:
        """Return how much each token around a number is part of its address, 0 to 1."""
        query = self.number_query(windows.numbers)
        keys = self.token_key(windows.states)
        fit = torch.einsum("ra,rwa->rw", query, keys) / self.options.attention**0.5
        return torch.sigmoid(fit + self.distance) * windows.present

    def asked(self, states: Float[Tensor, "t d"], segment: Segment) -> Float[Tensor, " c"]:
        """Return the address that a question asks for."""
        ids = torch.tensor(segment.ids, device=states.device)
        is_text = torch.tensor([i not in self.pieces for i in segment.ids], device=states.device)
        is_text[0] = is_text[-1] = False
        return self.asked_of(states[None], ids[None], is_text[None])[0]

    def asked_of(self, states: Tensor, ids: Tensor, present: Tensor) -> Float[Tensor, "q c"]:
        """Return the addresses that questions ask for.

        Args:
            states: *shape* (q, t, d).
            ids: *shape* (q, t).
            present: True for the tokens that count, *shape* (q, t).
        """
        hidden = F.gelu(self.question_hidden(states))
        shares = torch.sigmoid(self.question_score(hidden)[..., 0]) * present
        return _unit(torch.einsum("qt,qtc->qc", shares, token_codes(ids, self.options.code)))

    def values(self, numbers: list[str]) -> Float[Tensor, "r v"]:
        """Return numbers as they are stored: a one-hot symbol for each slot, up to and with the end."""
        slots = self.options.slots
        found = torch.zeros(len(numbers), slots, SYMBOLS, device=self.distance.device)
        for row, digits in enumerate(numbers):
            for slot, symbol in enumerate([*map(int, digits), END][:slots]):
                found[row, slot, symbol] = 1.0
        return found.flatten(1)

    def votes(self, parts: Parts, asked: Float[Tensor, "q c"]) -> Float[Tensor, "q slots symbols"]:
        """Return what a state holds at addresses: about 1 for the symbols of a number stored there."""
        found = read(parts, asked, self.options.ridge)
        return found.view(-1, self.options.slots, SYMBOLS)


def _unit(x: Tensor) -> Tensor:
    return x / (x.square().sum(-1, keepdim=True) + _NOTHING**2).sqrt()
