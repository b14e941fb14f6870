"""What a recall head is trained on, encoded once by the frozen base: numbers with their surroundings, and questions."""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from models.fit.recall_texts import Fact, Sentence, Sentences
from models.loading import LoadedEncoder
from models.packing import Segment
from models.recall import NumberPieces, NumberRun, RecallOptions
from models.recall.windows import Windows, windows_of

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")
_BATCH_TOKENS = 8192
_BREAKING_IN = 0.4
"""Share of sentences that stand in the middle of another."""


@dataclass(frozen=True, slots=True)
class Numbers:
    """Numbers of texts.

    Attributes:
        windows: As the head sees them, in half precision.
        digits: What each spells.
        facts: Index of the fact each one states, -1 for a number to be left alone.
    """

    windows: Windows
    digits: list[str]
    facts: list[int]


@dataclass(frozen=True, slots=True)
class Questions:
    """Encoded questions, padded to the longest.

    Attributes:
        states: Half precision, *shape* (q, t, d).
        ids: *shape* (q, t).
        present: True for the tokens that count, *shape* (q, t).
    """

    states: Tensor
    ids: Tensor
    present: Tensor


def sentences_of(text: str) -> list[str]:
    """Cut a text into sentences, roughly."""
    return [sentence for sentence in _SENTENCE_END.split(text) if sentence]


def surrounded(
    sentences: Sequence[Sentence], fillers: Sequence[str], draw: random.Random
) -> list[Sentence]:
    """Put sentences, side by side, somewhere into a passage of 0 to 12 sentences of other text.

    At times in the middle of one of those: nothing says that what is to be remembered begins a sentence.
    """
    start = draw.randrange(len(fillers))
    filler = list(fillers[start : start + draw.randint(0, 12)])
    place = draw.randint(0, len(filler))
    before, after = filler[:place], filler[place:]
    if after and draw.random() < _BREAKING_IN:
        words = after[0].split(" ")
        at = draw.randrange(len(words))
        before.append(" ".join(words[:at]))
        after[0] = " ".join(words[at:])
    around = [[Sentence(text, None) for text in part] for part in (before, after)]
    return [*around[0], *sentences, *around[1]]


class NumberReader:
    """Encodes texts and keeps their numbers.

    Args:
        base: The frozen encoder.
        options: Of the head.
        pieces: The vocabulary's number pieces.
    """

    def __init__(self, base: LoadedEncoder, options: RecallOptions, pieces: NumberPieces) -> None:
        self._base, self._options, self._pieces = base, options, pieces
        self._device = next(base.encoder.parameters()).device

    def read(self, passages: Sequence[Sequence[Sentence]], facts: Sequence[Fact]) -> Numbers:
        """Encode passages and cut out all their numbers.

        Args:
            passages: Each a text, sentence by sentence; cut to one segment, with the facts in it.
            facts: The facts that their sentences state.
        """
        places = {id(fact): index for index, fact in enumerate(facts)}
        marked = [self._mark(passage, places) for passage in passages]
        marked = [found for found in marked if found[1]]
        states = self._encode([segment for segment, _, _ in marked])
        windows = [
            windows_of(x, segment, runs, self._pieces, self._options.reach)
            for x, (segment, runs, _) in zip(states, marked, strict=True)
        ]
        runs = [run for _, found, _ in marked for run in found]
        return Numbers(
            Windows.join(windows),
            [run.digits for run in runs],
            [label for _, _, labels in marked for label in labels],
        )

    def ask(self, texts: Sequence[str]) -> Questions:
        """Encode questions, each one segment."""
        segments = [found[0] for found in self._base.tokenizer.segments(texts)]
        longest = max(len(segment.ids) for segment in segments)
        states = torch.zeros(len(segments), longest, self._options.width, dtype=torch.half)
        ids = torch.zeros(len(segments), longest, dtype=torch.long)
        present = torch.zeros(len(segments), longest, dtype=torch.bool)
        for row, (x, segment) in enumerate(zip(self._encode(segments), segments, strict=True)):
            length = len(segment.ids)
            states[row, :length], ids[row, :length] = x, torch.tensor(segment.ids)
            is_text = [place not in self._pieces for place in segment.ids]
            present[row, 1 : length - 1] = torch.tensor(is_text[1:-1], dtype=torch.bool)
        return Questions(states, ids, present)

    def _mark(
        self, passage: Sequence[Sentence], places: dict[int, int]
    ) -> tuple[Segment, list[NumberRun], list[int]]:
        """Return a passage as a segment, its numbers, and which fact each one states."""
        tokens = self._base.tokenizer.tokenize([sentence.text for sentence in passage])
        ids = [token for found in tokens for token in found.ids]
        facts = [
            sentence.fact
            for sentence, found in zip(passage, tokens, strict=True)
            for _ in found.ids
        ]
        stated = [place for place, fact in enumerate(facts) if fact is not None]
        window = self._base.tokenizer.max_tokens - 2
        start = (
            max(0, stated[-1] + 1 - window) if stated else 0
        )  # what is stated must be in the segment
        segment = self._base.tokenizer.cut(ids[start:])[0]
        found_runs = self._pieces.runs(segment.ids, self._options.slots, self._options.window)
        runs, labels = list(found_runs), []
        for run in runs:
            fact = facts[start + run.start - 1]
            is_fact = fact is not None and fact.digits == run.digits
            labels.append(places[id(fact)] if is_fact else -1)
        return segment, runs, labels

    def _encode(self, segments: Sequence[Segment]) -> list[Tensor]:
        """Encode segments, neighbours in length together; states in half precision."""
        order = sorted(range(len(segments)), key=lambda i: len(segments[i].ids))
        states: list[Tensor] = [torch.empty(0)] * len(segments)
        while order:
            longest = len(segments[order[-1]].ids)
            batch = [order.pop() for _ in range(min(len(order), max(1, _BATCH_TOKENS // longest)))]
            with torch.no_grad(), torch.autocast(self._device.type, torch.bfloat16):
                found = self._base.encoder.states([segments[i] for i in batch], self._options.layer)
            for i, part in zip(batch, found, strict=True):
                states[i] = part.half().cpu()
        return states


def statements(
    sentences: Sentences, count: int, fillers: Sequence[str], draw: random.Random
) -> tuple[list[list[Sentence]], list[Fact]]:
    """Draw passages that state facts: one each mostly, up to four side by side in one of four.

    Returns:
        The passages, and all facts they state.
    """
    passages: list[list[Sentence]] = []
    facts: list[Fact] = []
    while len(facts) < count:
        together = draw.randint(2, 4) if draw.random() < 1 / 4 else 1
        kind = None
        stated = []
        for _ in range(together):
            fact = sentences.fact(kind, sentences.name() if together > 1 else None)
            kind = fact.kind
            facts.append(fact)
            stated.append(sentences.statement(fact))
        passages.append(surrounded(stated, fillers, draw))
    return passages, facts
