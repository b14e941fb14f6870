"""What is trained, on what, how long: one recipe a variant."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a variant's adapter is trained: distilled from the base, or, where it begins as the base, on pairs.

    Attributes:
        tokens: Training tokens, warm-up included.
        warm_up_tokens: Of these, tokens of layer-by-layer training on the teacher's inputs.
        step_tokens: Tokens of an optimiser step.
        matrix_rate: Highest learning rate of projections (Muon).
        other_rate: Highest learning rate of everything else (AdamW).
        sentence: Weight of the sentence vectors' cosine.
        similarity: Weight of the batch's similarities.
        layers: Weight of the layers' outputs.
        relations: Weight of the last layer's relations.
        pairs: Pairs of query and passage in a step; 0 distils from plain text, with the weights above.
        drift: Weight of 1 - cosine to the base's vectors, where pairs are trained on.
        own_only: Train only what the base does not have, and leave its projections alone.
    """

    tokens: int
    warm_up_tokens: int
    step_tokens: int = 4096
    matrix_rate: float = 1e-2
    other_rate: float = 1e-3
    sentence: float = 1.0
    similarity: float = 3.0
    layers: float = 1.0
    relations: float = 0.05
    pairs: int = 0
    drift: float = 1.0
    own_only: bool = False


RECIPES: Final[Mapping[str, Recipe]] = {
    "self-attention": Recipe(tokens=9_000_000, warm_up_tokens=1_000_000),
    "causal": Recipe(tokens=1_200_000, warm_up_tokens=250_000, matrix_rate=3e-3),
    "bidirectional": Recipe(tokens=1_600_000, warm_up_tokens=250_000, matrix_rate=3e-3),
    # Exactly the base at the start: there is nothing to distil, so its weights learn from pairs.
    "multi-head-weighted": Recipe(
        tokens=600_000, warm_up_tokens=0, other_rate=2e-2, pairs=24, own_only=True
    ),
}
