"""Which optimiser moves what, and how fast at each step."""

import math
from collections.abc import Iterable, Mapping
from typing import Final

import torch
from torch import Tensor

from models.fit.recipes import Recipe

FIRST_STEPS: Final = 50
"""Steps over which the rates rise from nothing."""
WARM_UP_RATE: Final = 3.0
LEAST_RATE: Final = 0.02
"""The first and the last step's rate, as a share of the recipe's."""
_MATRIX: Final = 2


def optimizers(parameters: Mapping[str, Tensor], recipe: Recipe) -> list[torch.optim.Optimizer]:
    """Return what trains them: matrices by Muon, which moves all their directions alike, the rest by AdamW.

    Weights are not decayed: an adapter begins at the base and should not forget it.
    """
    matrices = [p for p in parameters.values() if p.ndim == _MATRIX]
    others = [p for p in parameters.values() if p.ndim != _MATRIX]
    found: list[torch.optim.Optimizer] = []
    if matrices:
        found.append(torch.optim.Muon(matrices, lr=recipe.matrix_rate, weight_decay=0.0))
    if others:
        found.append(torch.optim.AdamW(others, lr=recipe.other_rate, weight_decay=0.0))
    for optimizer in found:
        for group in optimizer.param_groups:
            group["highest"] = group["lr"]
    return found


def set_rates(found: Iterable[torch.optim.Optimizer], share: float) -> None:
    """Set all learning rates to a share of their highest."""
    for optimizer in found:
        for group in optimizer.param_groups:
            group["lr"] = share * group["highest"]


def share_of_rate(step: int, warm_up: int, steps: int) -> float:
    """Return the share of the highest rates at a step.

    Up in a few steps; while layers learn one by one, from `WARM_UP_RATE` down to 1, since each has but a small problem
    of its own; then along a cosine down to `LEAST_RATE`.
    """
    if step < warm_up:
        rate = WARM_UP_RATE + (1 - WARM_UP_RATE) * step / warm_up
    else:
        way = (step - warm_up) / max(1, steps - warm_up)
        rate = LEAST_RATE + (1 - LEAST_RATE) * (1 + math.cos(math.pi * way)) / 2
    return rate * min(1.0, (step + 1) / FIRST_STEPS)
