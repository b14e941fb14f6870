"""Memories that must not help: what a gain of the right one is compared with."""

import torch

from models.evaluate.context.draws import generator
from models.memory import Memory


def read_nothing(memory: Memory) -> Memory:
    """Return a memory that counts as written and whose read-out is exactly 0.

    What is left of Infini-attention's equation 10 is (1 - gate) A_dot: attention is weakened, nothing is remembered.

    Args:
        memory: Any of the model, for its shapes.
    """
    parts = {
        # equation 7 divides by it; sums of bindings are nothing when they are zero
        name: torch.ones_like(part) if name.endswith("normaliser") else torch.zeros_like(part)
        for name, part in memory.parts.items()
    }
    return Memory(parts, max(memory.tokens_seen, 1))


def derangement(name: str, count: int, seed: int) -> list[int]:
    """Return another document for each document: a random cycle through all of them.

    Args:
        name: Of the set; sets are drawn for apart from each other.
        count: Documents; at least 2.
        seed: Of the run.
    """
    order = generator(name, "partners", seed).permutation(count).tolist()
    following = dict(zip(order, [*order[1:], order[0]], strict=True))
    return [following[document] for document in range(count)]
