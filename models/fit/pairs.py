"""Batches of queries and the passages that answer them, from sets with gold chunks."""

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from models.errors import FitError, TextError
from models.fit.batches import TrainingText
from models.packing import Segment
from models.tokenizer import Tokenizer


def read_pairs(sources: Sequence[Path]) -> list[tuple[str, str]]:
    """Read (query, gold chunk) from every `train` folder under the sources that holds documents and queries.

    Raises:
        TextError: there are none.
    """
    folders = sorted({f.parent for s in sources for f in s.rglob("train/queries.jsonl")})
    pairs = [pair for folder in folders for pair in _pairs(folder)]
    if not pairs:
        raise TextError(f"no train/queries.jsonl under {', '.join(map(str, sources))}")
    return pairs


def _pairs(folder: Path) -> Iterator[tuple[str, str]]:
    chunks = {
        chunk["chunk_id"]: chunk["text"]
        for document in _records(folder / "docs.jsonl")
        for chunk in document["chunks"]
    }
    for query in _records(folder / "queries.jsonl"):
        golds = query.get("gold_chunk_ids", [])
        if golds:
            yield query["text"], chunks[golds[0]]


def _records(file: Path) -> Iterator[dict[str, Any]]:
    with file.open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)


class Pairs(TrainingText):
    """Draws batches of pairs: first all queries, then their passages in the same order.

    Passages longer than the window are cut to it. The batch of a step depends on the seed and the step alone.

    Args:
        pairs: Queries and passages.
        tokenizer: Cuts them.
        count: Pairs of a batch.
        seed: Seed of all draws.
        held_out: Most pairs kept out of training; at most a tenth.

    Raises:
        FitError: fewer pairs than a batch has.
    """

    def __init__(
        self,
        pairs: Sequence[tuple[str, str]],
        tokenizer: Tokenizer,
        count: int,
        seed: int,
        held_out: int = 256,
    ) -> None:
        sides = [[cut[0] for cut in tokenizer.segments(side)] for side in zip(*pairs, strict=True)]
        order = np.random.default_rng(seed).permutation(len(pairs))
        held_out = min(held_out, math.ceil(len(pairs) / 10))
        kept, self._train = order[:held_out], order[held_out:]
        if len(self._train) < count:
            raise FitError(f"too few pairs: {len(self._train)} to train on, a batch has {count}")
        self.held_out = [side[i] for side in sides for i in kept]
        self.tokens = sum(len(side[i].ids) for side in sides for i in self._train)
        self._sides, self._count, self.seed = sides, count, seed

    def batch(self, step: int) -> list[Segment]:
        """Draw the batch of a step, without repeats."""
        random = np.random.default_rng((self.seed, step))
        chosen = random.choice(self._train, self._count, replace=False)
        return [side[i] for side in self._sides for i in chosen]
