"""How many bindings a memory rule holds: `python -m models.evaluate.capacity` prints the table.

N random keys and values are written to one head; each key is then asked for its value, and is right if no other of the
N values is nearer to what is read. Random keys of full width are the easy case: keys of real text resemble each other.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Final

import torch
import torch.nn.functional as F
import typer
from jaxtyping import Float
from torch import Tensor

from models.memory import MEMORY_RULES, MemoryRule, Parts

WIDTH: Final = 32
"""Width of keys and values: one head of the base."""

SEGMENT: Final = 8
"""Tokens written at a time: a rule that reads before it writes sees the segments before."""

SIZES: Final = tuple(2**i for i in range(11))
GOOD: Final = 0.9

Recall = Callable[[Float[Tensor, "n h k"], Float[Tensor, "n h v"]], Float[Tensor, "n h v"]]
"""Writes all bindings and reads back what each key retrieves; heads are independent trials."""


@dataclass(frozen=True, slots=True)
class Capacity:
    """What one rule holds.

    Attributes:
        name: The rule.
        accuracy: Part of the keys that retrieve their own value, by number of bindings written.
    """

    name: str
    accuracy: Mapping[int, float]

    def held(self, least: float = GOOD) -> int:
        """Return the most bindings of which, as of every smaller number, at least this part is right; 0 if none."""
        most = 0
        for size in sorted(self.accuracy):
            if self.accuracy[size] < least:
                break
            most = size
        return most


def through(rule: MemoryRule) -> Recall:
    """Return how a memory rule recalls, written segment by segment."""

    def recall(
        key: Float[Tensor, "n h k"], value: Float[Tensor, "n h v"]
    ) -> Float[Tensor, "n h v"]:
        shapes = rule.parts(key.shape[1], key.shape[2], value.shape[2])
        parts: Parts = {name: torch.zeros(shape) for name, shape in shapes.items()}
        for start in range(0, len(key), SEGMENT):
            rows = slice(start, start + SEGMENT)
            parts = rule.write(key[rows], value[rows], parts, empty=start == 0)
        return rule.read(key, parts)

    return recall


def hebbian(key: Float[Tensor, "n h k"], value: Float[Tensor, "n h v"]) -> Float[Tensor, "n h v"]:
    """Recall from a sum of outer products of keys at unit length, without features and without normaliser."""
    unit = F.normalize(key, dim=-1).transpose(0, 1)  # (h, n, k)
    matrix = unit.transpose(1, 2) @ value.transpose(0, 1)
    return (unit @ matrix).transpose(0, 1)


def widrow_hoff(
    key: Float[Tensor, "n h k"], value: Float[Tensor, "n h v"]
) -> Float[Tensor, "n h v"]:
    """Recall from the same matrix, where each binding is written less what its key retrieves already.

    *Equation*: DeltaNet (arXiv 2102.11174, section 4.2) with a write strength of 1, in one pass, token by token.
    **Deviation:** keys at unit length by the L2 norm, no feature map.
    """
    unit = F.normalize(key, dim=-1)
    matrix = torch.zeros(key.shape[1], key.shape[2], value.shape[2])
    for one, bound in zip(unit, value, strict=True):
        known = torch.einsum("hk,hkv->hv", one, matrix)
        matrix = matrix + torch.einsum("hk,hv->hkv", one, bound - known)
    return torch.einsum("nhk,hkv->nhv", unit, matrix)


def recalls() -> dict[str, Recall]:
    """Return every row of the table: the registered rules, and two memories of keys as they are."""
    return {
        **{name: through(rule) for name, rule in MEMORY_RULES.items()},
        "unit keys, sum": hebbian,
        "unit keys, delta": widrow_hoff,
    }


def measure(
    recall: Recall, name: str, sizes: Iterable[int] = SIZES, trials: int = 8, seed: int = 0
) -> Capacity:
    """Measure one rule.

    Args:
        recall: What to measure.
        name: What to call it.
        sizes: Numbers of bindings.
        trials: Draws of keys and values per size.
        seed: Of the draws; equal seeds give equal bindings to every rule.
    """
    accuracy = {}
    for size in sizes:
        generator = torch.Generator().manual_seed(seed)
        key = torch.randn(size, trials, WIDTH, generator=generator)
        value = F.normalize(torch.randn(size, trials, WIDTH, generator=generator), dim=-1)
        # Of values at unit length the nearest is the one with the largest inner product.
        scores = torch.einsum("nhv,mhv->hnm", recall(key, value), value)
        right = scores.argmax(-1) == torch.arange(size)
        accuracy[size] = right.float().mean().item()
    return Capacity(name, accuracy)


def as_markdown(rows: Sequence[Capacity]) -> str:
    """Return a table of all rules."""
    sizes = sorted({size for row in rows for size in row.accuracy})
    heading = ["rule", *(str(size) for size in sizes), f"held at {GOOD}"]
    lines = [
        [row.name, *(f"{row.accuracy[size]:.2f}" for size in sizes), str(row.held())]
        for row in rows
    ]
    rule = ["---", *["---:"] * (len(heading) - 1)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (heading, rule, *lines))


def main(
    trials: Annotated[int, typer.Option(min=1, help="Draws per number of bindings.")] = 8,
    seed: Annotated[int, typer.Option(help="Seed of the draws.")] = 0,
) -> None:
    """Print how many of N bindings each memory rule gives back, as Markdown."""
    with torch.inference_mode():
        rows = [measure(recall, name, SIZES, trials, seed) for name, recall in recalls().items()]
    typer.echo(as_markdown(rows))


if __name__ == "__main__":
    typer.run(main)
