"""Batches of segments of one length each: no padding, one attention call a layer, and every step reproducible alone."""

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from models.errors import FitError
from models.packing import Segment
from models.tokenizer import Tokenizer

EXACT_UP_TO = 48
"""Segments up to this length keep it; longer ones lose their tail down to a multiple of `ROUNDING`."""
ROUNDING = 8
LEAST_IN_BUCKET = 8


@runtime_checkable
class TrainingText(Protocol):
    """What a trainer draws from.

    Attributes:
        held_out: Segments kept out of training.
        tokens: Tokens there are to train on.
        seed: Seed of all draws.
    """

    held_out: list[Segment]
    tokens: int
    seed: int

    def batch(self, step: int) -> list[Segment]:
        """Draw the batch of a step; the same for the same seed."""
        ...


class Batches(TrainingText):
    """Draws training batches; the batch of a step depends on the seed and the step alone.

    Args:
        texts: Training texts.
        tokenizer: Cuts them; of a long text each segment is an item of its own.
        step_tokens: Tokens of a batch, about.
        seed: Seed of all draws.
        held_out: Most items kept out of training, to follow progress on; at most a tenth.

    Raises:
        FitError: no length has enough texts for a batch.
    """

    def __init__(
        self,
        texts: Sequence[str],
        tokenizer: Tokenizer,
        step_tokens: int,
        seed: int,
        held_out: int = 512,
    ) -> None:
        items = [_crop(item) for cut in tokenizer.segments(texts) for item in cut]
        items = [item for item in items if item.content_tokens]
        order = np.random.default_rng(seed).permutation(len(items))
        held_out = min(held_out, math.ceil(len(items) / 10))
        self.held_out = [items[i] for i in order[:held_out]]
        self.seed = seed
        self._step_tokens = step_tokens
        buckets: dict[int, list[Segment]] = defaultdict(list)
        for i in order[held_out:]:
            buckets[len(items[i].ids)].append(items[i])
        self._buckets = [b for _, b in sorted(buckets.items()) if len(b) >= LEAST_IN_BUCKET]
        if not self._buckets:
            raise FitError("too few training texts: no length has enough of them for a batch")
        self.tokens = sum(len(bucket) * len(bucket[0].ids) for bucket in self._buckets)
        # In proportion to tokens, so that every token is as likely as any other.
        weights = np.array([len(bucket) * len(bucket[0].ids) for bucket in self._buckets], float)
        self._shares = weights / weights.sum()

    def batch(self, step: int) -> list[Segment]:
        """Draw the batch of a step: segments of one length, without repeats."""
        random = np.random.default_rng((self.seed, step))
        bucket = self._buckets[random.choice(len(self._buckets), p=self._shares)]
        count = min(len(bucket), max(1, self._step_tokens // len(bucket[0].ids)))
        return [bucket[i] for i in random.choice(len(bucket), count, replace=False)]


def _crop(segment: Segment) -> Segment:
    length = len(segment.ids)
    if length <= EXACT_UP_TO:
        return segment
    return Segment((*segment.ids[: length // ROUNDING * ROUNDING - 1], segment.ids[-1]))
