"""The state of a recall head: least squares from addresses to digits, as two sums."""

from collections.abc import Mapping
from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor

from models.recall.options import SYMBOLS, RecallOptions

Parts = Mapping[str, Tensor]
"""A state by name: `GRAM` is sum w a a^T, *shape* (c, c); `CROSS` is sum w a v^T, *shape* (c, slots * 11); float32.

Both are sums: states of two texts, added, are the state of both.
"""
GRAM: Final = "recall.gram"
CROSS: Final = "recall.cross"


def part_shapes(options: RecallOptions) -> Mapping[str, tuple[int, ...]]:
    """Return the names and shapes of a state; its size does not depend on what was read."""
    code = options.code
    return {GRAM: (code, code), CROSS: (code, options.slots * SYMBOLS)}


def add(
    parts: Parts,
    addresses: Float[Tensor, "r c"],
    values: Float[Tensor, "r v"],
    weights: Float[Tensor, " r"],
) -> Parts:
    """Return the state with records written to it; `parts` stays as it was."""
    weighted = (addresses * weights[:, None]).T
    return {
        GRAM: parts[GRAM] + weighted @ addresses,
        CROSS: parts[CROSS] + weighted @ values,
    }


def read(parts: Parts, asked: Float[Tensor, "q c"], ridge: float) -> Float[Tensor, "q v"]:
    """Return what a state says at addresses: a^T (gram + ridge I)^-1 cross.

    Least squares, and not the normalised sum of Infini-attention's equation 7, because addresses of one kind share
    their words: "the pass key of Ann" and "the pass key of Bob" would each answer with the mean of both.

    *Numerics*: solved in float64; thousands of writes at one address leave float32 too few digits beside `ridge`.
    """
    gram = parts[GRAM].double()
    regular = gram + ridge * torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
    solved: Tensor = torch.linalg.solve(regular, asked.double().T)
    return (solved.T @ parts[CROSS].double()).float()
