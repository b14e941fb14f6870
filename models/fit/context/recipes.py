"""How what acts behind a memory is trained: one recipe a variant."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from models.fit.context.draws import ANOTHER, Before


@dataclass(frozen=True, slots=True)
class Stage:
    """One of the stages of a training.

    Attributes:
        steps: Optimiser steps.
        documents: Documents of a step.
        chunks: Most chunks of a document that are read in a step; gradients go back through all of them.
        rate: Highest learning rate.
        gate_rate: Highest learning rate of gates, which have far to go from where they start.
        sequence: Weight of telling a document's own chunks apart; the rest is for telling all apart.
        drift: Weight of 1 - cosine to the vectors without what is trained, in the sets of `STANDING_ALONE`.
        before: What is read before documents.
    """

    steps: int
    documents: int
    chunks: int
    rate: float
    gate_rate: float = 2e-2
    sequence: float = 0.4
    drift: float = 2.0
    before: Before = ANOTHER


@dataclass(frozen=True, slots=True)
class ContextRecipe:
    """How a variant's memory is trained; where it has two, the reader's comes second.

    Attributes:
        attention: Training of the memory inside the layers; None for a variant without.
        reader: Training of the reader above them; None for a variant without.
        memory_from: First layer with a memory.
        memory_rank: Rank of the memory's own projections.
        gate_logit: Where the gates start; without a training of the attention they stay there.
    """

    attention: Stage | None = None
    reader: Stage | None = None
    memory_from: int = 0
    memory_rank: int = 0
    gate_logit: float = -2.0


WEIGHTS: Final[Mapping[str, float]] = {
    "squad_anaphora": 2.0,
    "memory_probe": 1.5,
    "peps": 2.0,
    "covidqa": 1.5,
    "fairytaleqa": 1.5,
    "squad_dev": 1.5,
    "evidence_inference": 0.7,
    "qmsum": 0.7,
}
"""How often a set is drawn; 1 for those not named."""
STANDING_ALONE: Final = ("fairytaleqa", "squad_dev")
"""Sets whose chunks hardly need what came before: there, a memory is to learn not to interfere."""
HIDDEN: Final = ("covidqa", "evidence_inference", "fairytaleqa", "peps")
"""Sets that copies with hidden topics are made of."""
LONGEST: Final = 64
"""Chunks of a document that are used."""

CONTEXT_RECIPES: Final[Mapping[str, ContextRecipe]] = {
    "infini": ContextRecipe(
        attention=Stage(steps=500, documents=6, chunks=7, rate=2e-3), memory_from=3, memory_rank=16
    ),
    "infini-plus": ContextRecipe(
        reader=Stage(
            steps=500,
            documents=8,
            chunks=24,
            rate=1e-3,
            drift=1.0,
            before=Before(share=0.5, documents=8),
        ),
        memory_from=3,
        gate_logit=-0.62,
    ),
}

_GATES: Final = (
    ".beta",
    "write_gate.keep",
    "write_gate.weight",
    "write_gate.opening",
    "output_gate.bias",
)
_CHOICES: Final = ("reader.topic.", "_gate.network.")
_CHOICE_FACTOR: Final = 4.0


def rate_of(name: str, stage: Stage) -> float:
    """Return a parameter's highest learning rate: gates move fastest, then what decides, then what carries."""
    if name.endswith(_GATES):
        return stage.gate_rate
    if any(part in name for part in _CHOICES):
        return _CHOICE_FACTOR * stage.rate
    return stage.rate
