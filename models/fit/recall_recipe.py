"""How much a recall head is trained on, and how."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Amounts:
    """How much is made up and read.

    Attributes:
        facts: Numbers to remember.
        others: Made-up sentences with numbers to be left alone.
        chunks: Chunks with numbers from each set, at most.
        fillers: Chunks of each set that facts are put into, at most.
    """

    facts: int = 8000
    others: int = 5000
    chunks: int = 400
    fillers: int = 1500


@dataclass(frozen=True, slots=True)
class RecallRecipe:
    """How a recall head is trained.

    Attributes:
        steps: Optimiser steps.
        documents: Documents of a step.
        others: Numbers to be left alone in a step.
        mine_every: Steps after which all of those are looked at again, and drawn by how nearly they are written.
        rate: Highest learning rate (AdamW).
        decay: Weight decay.
        by_kind: Weight of questions without a name: a stated name that is not asked for is a lesser mismatch than a
            wrong one, and must be seen as such.
        keep: The gate's score that a number to remember should reach; 1 writes it with full weight.
        leave: The score that any other number should stay below; 0 writes nothing.
    """

    steps: int = 3000
    documents: int = 16
    others: int = 256
    mine_every: int = 100
    rate: float = 3e-3
    decay: float = 1e-2
    by_kind: float = 0.1
    keep: float = 1.5
    leave: float = -0.5
