"""What is trained, on what, how long: one recipe a variant."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Recipe:
    """A distillation from the base model into one variant of it.

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
    """

    tokens: int
    warm_up_tokens: int
    step_tokens: int = 4096
    matrix_rate: float = 3e-2
    other_rate: float = 1e-3
    sentence: float = 1.0
    similarity: float = 3.0
    layers: float = 1.0
    relations: float = 0.05


RECIPES: Final[Mapping[str, Recipe]] = {
    "self-attention": Recipe(tokens=12_000_000, warm_up_tokens=2_500_000),
    "causal": Recipe(tokens=4_000_000, warm_up_tokens=500_000, matrix_rate=1e-2),
    "bidirectional": Recipe(tokens=5_000_000, warm_up_tokens=500_000, matrix_rate=1e-2),
}
