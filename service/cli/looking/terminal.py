"""Panels in a terminal: coloured cells as large as the window allows; in a pipe, plain numbers in columns."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from rich.cells import cell_len, set_cell_size
from rich.color import Color
from rich.console import Console
from rich.style import Style
from rich.text import Text

from service.cli.looking.panels import Panel, Scale, panels
from service.cli.looking.view import Look, Stage

_LABEL_CELLS: Final = 20
_HIDDEN: Final = "·"
_MEMORY: Final = "memory"
_BEST: Final = 3  # columns named per row where a table does not fit
_RULER_STEP: Final = 5
# Light stands out on a dark terminal, and every cell brings its own background to a light one.
_RAMP: Final = ((22, 24, 48), (42, 72, 128), (28, 135, 142), (118, 196, 92), (250, 232, 60))
_DARK_TEXT_FROM: Final = 0.55  # the shade; lighter cells need dark letters
_EXPLAINED: Final = {
    Stage.SCORES: "A row is a token that looks, a column a token it looks at; higher fits better.",
    Stage.WEIGHTS: "A row is a token that looks, a column a token it looks at; a row sums to 1.",
    Stage.OUTPUTS: "Length of what each head makes of each token.",
}


def show(look: Look, console: Console) -> None:
    """Print everything that was asked for, each panel in the largest layout that fits the console."""
    colours = console.is_terminal and console.color_system is not None and not console.no_color
    width = console.width if console.is_terminal else None
    _print(console, Text(look.title, "bold"))
    console.print(Text(_explained(look), "dim"), soft_wrap=not console.is_terminal)
    shown = panels(look)
    scale = Scale.of(look, shown)
    for panel in shown:
        sheet = _Sheet(look, panel, scale, colours=colours)
        _print(console, Text(f"\n{panel.title}"))
        for line in sheet.lines(width):
            _print(console, line)


def _print(console: Console, line: Text) -> None:
    console.print(line, soft_wrap=True, highlight=False)


def _explained(look: Look) -> str:
    said = _EXPLAINED[look.choice.stage]
    if look.context_tokens:
        said += f" Under `{_MEMORY}` is the part of a token's output that came from memory."
    elif look.context_tokens == 0:
        said += " The memory is empty; --context gives it something to remember."
    return said


@dataclass(frozen=True, slots=True)
class _Layout:
    """How a table is drawn.

    Attributes:
        rows: What stands before each row.
        headings: What stands above each column; empty for a ruler.
        cells: Width of each column.
        numbers: Whether the cells hold numbers, or colour alone.
    """

    rows: Sequence[str]
    headings: Sequence[str]
    cells: Sequence[int]
    numbers: bool = True

    @property
    def label_cells(self) -> int:
        """Width of what stands before the rows, and a space."""
        return min(_LABEL_CELLS, max(map(cell_len, self.rows))) + 1


class _Sheet:
    """One panel with its numbers spelled.

    Args:
        look: Where the panel comes from.
        panel: The table.
        scale: From values to shades.
        colours: Whether there are any.
    """

    def __init__(self, look: Look, panel: Panel, scale: Scale, *, colours: bool) -> None:
        self._panel = panel
        self._scale = scale
        self._colours = colours
        self._labels = [token.label for token in look.tokens]
        self._places = 2 if look.choice.stage is Stage.WEIGHTS else 1
        self._cells = [[self._number(value) for value in row] for row in panel.values]

    def lines(self, width: int | None) -> Iterator[Text]:
        """Yield the lines of the largest layout that is no wider; None is any width."""
        beside = 0 if self._panel.memory_share is None else len(_MEMORY) + 2
        for layout in self._layouts():
            if width is None or layout.label_cells + sum(layout.cells) + beside <= width:
                return self._table(layout)
        return self._list()

    def _layouts(self) -> Iterator[_Layout]:
        """Yield the layouts, widest first: named columns, numbered columns, colours alone."""
        columns = self._panel.columns
        widest = [max(map(len, cells)) for cells in zip(*self._cells, strict=True)]
        named = [max(cell_len(name), cell) + 1 for name, cell in zip(columns, widest, strict=True)]
        yield _Layout(self._labels, columns, named)
        digits = len(str(len(self._labels) - 1))
        rows = [f"{number:>{digits}} {label}" for number, label in enumerate(self._labels)]
        if columns == tuple(self._labels):
            numbers = [str(number) for number in range(len(columns))]
            yield _Layout(rows, numbers, [max(digits, cell) + 1 for cell in widest])
            if self._colours:
                for cells in (2, 1):
                    yield _Layout(rows, (), [cells] * len(columns), numbers=False)

    def _table(self, layout: _Layout) -> Iterator[Text]:
        share = self._panel.memory_share
        yield self._heading(layout)
        for place, label in enumerate(layout.rows):
            line = Text(set_cell_size(label, layout.label_cells - 1) + " ")
            for column, cells in enumerate(layout.cells):
                number = self._cells[place][column] if layout.numbers else ""
                line.append(number.rjust(cells), self._style(self._panel.values[place, column]))
            if share is not None:
                line.append(f"  {share[place]:{len(_MEMORY)}.2f}")
            yield line
        if not layout.numbers:
            lowest, highest = self._number(self._scale.low), self._number(self._scale.high)
            yield Text(f"dark is {lowest}, light is {highest}", "dim")

    def _heading(self, layout: _Layout) -> Text:
        heading = Text(" " * layout.label_cells)
        if layout.headings:
            for name, cells in zip(layout.headings, layout.cells, strict=True):
                heading.append(" " * (cells - cell_len(name)) + name)
        else:
            every = range(0, len(layout.cells), _RULER_STEP)
            cells = layout.cells[0] * _RULER_STEP
            ruler = "".join(str(number).ljust(cells) for number in every)
            heading.append(ruler[: sum(layout.cells)].ljust(sum(layout.cells)))
        if self._panel.memory_share is not None:
            heading.append(f"  {_MEMORY}")
        heading.stylize("dim")
        return heading

    def _list(self) -> Iterator[Text]:
        """Yield for each token the columns with the largest values."""
        values = np.nan_to_num(self._panel.values, nan=-np.inf)
        for place, label in enumerate(self._labels):
            best = [
                column for column in _largest(values[place]) if np.isfinite(values[place, column])
            ]
            named = [
                f"{self._panel.columns[column]} {self._cells[place][column]}" for column in best
            ]
            line = Text(f"{label}: {', '.join(named)}")
            if self._panel.memory_share is not None:
                line.append(f"; {_MEMORY} {self._panel.memory_share[place]:.2f}")
            yield line

    def _number(self, value: float) -> str:
        if np.isnan(value):
            return _HIDDEN
        number = f"{value:.{self._places}f}"
        return number.removeprefix("0") if self._places > 1 else number

    def _style(self, value: float) -> Style:
        if not self._colours or np.isnan(value):
            return Style()
        shade = self._scale.shade(value)
        letters = "black" if shade > _DARK_TEXT_FROM else "white"
        return Style(color=letters, bgcolor=_colour(shade))


def _largest(row: NDArray[np.float32]) -> list[int]:
    return [int(column) for column in np.argsort(-row, kind="stable")[:_BEST]]


def _colour(shade: float) -> Color:
    """Return the ramp's colour at a place in [0, 1]."""
    stops = np.linspace(0, 1, len(_RAMP))
    channels = zip(*_RAMP, strict=True)
    red, green, blue = (int(np.interp(shade, stops, channel)) for channel in channels)
    return Color.from_rgb(red, green, blue)
