"""Views laid out for people: tables of numbers with a heading for every row and column."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Self, cast

import numpy as np
from numpy.typing import NDArray

from models.attention.softmax import Direction, visible
from service.cli.looking.view import ALL, COMBINED, Look, Stage, View

_DIRECTIONS: Final = {
    "both": "both directions",
    "forward": "forward: itself and what comes before",
    "backward": "backward: itself and what comes after",
    COMBINED: "combined: what enters the output projection",
}


@dataclass(frozen=True, slots=True)
class Panel:
    """One table, a token per row.

    Attributes:
        title: Direction, and the head where several are shown.
        columns: The tokens that are looked at; or the heads.
        values: NaN where a token may not look, *shape* (t, c).
        memory_share: Part of each row that came from memory, *shape* (t,); None without a memory, or if it is empty.
    """

    title: str
    columns: tuple[str, ...]
    values: NDArray[np.float32]
    memory_share: NDArray[np.float32] | None = None


def panels(look: Look) -> list[Panel]:
    """Return a table per view; of outputs, which are a column per view, one per direction."""
    labels = tuple(token.label for token in look.tokens)
    if look.choice.stage is Stage.OUTPUTS:
        return list(_outputs(look))
    several = look.choice.head == ALL and look.heads > 1
    return [
        Panel(
            _head_and_direction(view) if several else _DIRECTIONS[view.direction],
            labels,
            _seen(view),
            view.memory_share if look.context_tokens else None,
        )
        for view in look.views
    ]


@dataclass(frozen=True, slots=True)
class Scale:
    """From values to shades, the same for all panels of a look.

    Attributes:
        low: The lightest shade: 0, or the lowest score below it.
        high: The darkest.
        power: Of the shade: most weights are small, and a square root tells them apart.
    """

    low: float
    high: float
    power: float

    @classmethod
    def of(cls, look: Look, shown: Sequence[Panel]) -> Self:
        """Return the scale on which all values of all panels have a shade."""
        lowest = min(float(np.nanmin(panel.values)) for panel in shown)
        highest = max(float(np.nanmax(panel.values)) for panel in shown)
        power = 0.5 if look.choice.stage is Stage.WEIGHTS else 1.0
        return cls(min(0.0, lowest), highest, power)

    def shade(self, value: float) -> float:
        """Return the place in [0, 1]."""
        span = self.high - self.low
        return float(((value - self.low) / span) ** self.power) if span > 0 else 0.0


def _outputs(look: Look) -> Iterator[Panel]:
    for direction in dict.fromkeys(view.direction for view in look.views):
        views = [view for view in look.views if view.direction == direction]
        shares = [view.memory_share for view in views if view.memory_share is not None]
        yield Panel(
            _DIRECTIONS[direction],
            tuple(view.head for view in views),
            np.stack([view.values for view in views], 1),
            np.mean(shares, 0) if shares and look.context_tokens else None,
        )


def _head_and_direction(view: View) -> str:
    """Return a short title; looking in both directions goes without saying."""
    return f"head {view.head}" + ("" if view.direction == "both" else f", {view.direction}")


def _seen(view: View) -> NDArray[np.float32]:
    """Return the values with NaN where the direction hides a token."""
    values = view.values.copy()
    values[~visible(len(values), cast("Direction", view.direction)).numpy()] = np.nan
    return values
