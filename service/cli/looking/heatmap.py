"""Panels as a picture: a grid of heatmaps under one colour bar, as PNG or SVG."""

import warnings
from collections.abc import Iterable, Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np

from service.cli.looking.panels import Panel, Scale, panels
from service.cli.looking.view import Look, Stage

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

_DPI: Final = 150
_POINTS: Final = 72  # per inch
_COLUMNS: Final = 4  # even: the two directions of a head stay side by side
_WIDTH: Final = 9.0  # inches for all panels of a row, as long as cells stay between the two next
_SMALLEST_CELL: Final = 0.12
_LARGEST_CELL: Final = 0.45
_NUMBERED_CELL: Final = 0.36  # from this size on a cell has room for its number
_LABELLED_BAR: Final = 0.2  # the same for a bar of the memory's share
_STRIP: Final = 0.7  # inches
_COLOURS: Final = "YlGnBu"
_LIGHT_TEXT_FROM: Final = 0.6  # the shade; darker cells need light letters
_HIDDEN_COLOUR: Final = "0.88"
_MEMORY_COLOUR: Final = "#d9822b"
_FONT: Final = "DejaVu Sans"  # comes with matplotlib
# With the scripts that it lacks; used where they are installed.
_FALLBACK_FONTS: Final = (
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "WenQuanYi Zen Hei",
    "PingFang SC",
    "Microsoft YaHei",
    "Arial Unicode MS",
)
_LEGENDS: Final = {
    Stage.SCORES: "score",
    Stage.WEIGHTS: "weight; a row sums to 1",
    Stage.OUTPUTS: "norm of the output",
}


def draw(look: Look, file: Path) -> None:
    """Write everything that was asked for; the same look gives the same bytes.

    Args:
        look: What to draw.
        file: Its suffix, .png or .svg, is the format. In an SVG, text stays text.

    Raises:
        OSError: the file cannot be written.
    """
    from matplotlib import rc_context  # noqa: PLC0415 - an optional dependency
    from matplotlib.figure import Figure  # noqa: PLC0415

    kind = file.suffix.lower().removeprefix(".")
    fonts = _fonts()
    labels = [token.label for token in look.tokens]
    if kind == "png":  # a viewer of an SVG has fonts of its own
        labels = [_drawable(label, fonts.values()) for label in labels]
    metadata = {"Software": None} if kind == "png" else {"Date": None}
    picture = BytesIO()
    style = {
        "font.family": "sans-serif",
        "font.sans-serif": list(fonts),
        "svg.fonttype": "none",
        "svg.hashsalt": "longstream",  # ids in the file are random otherwise
        "text.parse_math": False,  # a token is no formula, though it may hold a dollar sign
    }
    # The type of the keys differs between versions of matplotlib.
    with rc_context(cast("Any", style)), warnings.catch_warnings():
        # Measuring an SVG's text, matplotlib misses glyphs that the file does not need.
        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
        figure = Figure(layout="constrained")
        _Drawing(look, labels).fill(figure)
        figure.savefig(picture, format=kind, dpi=_DPI, bbox_inches="tight", metadata=metadata)
    file.write_bytes(picture.getvalue())


class _Drawing:
    """The panels of one look, and how large everything is.

    Args:
        look: What to draw.
        labels: The tokens as the picture spells them.
    """

    def __init__(self, look: Look, labels: Sequence[str]) -> None:
        self._look = look
        self._labels = labels
        self._panels = panels(look)
        self._scale = Scale.of(look, self._panels)
        self._columns = min(len(self._panels), _COLUMNS)
        self._rows = -(-len(self._panels) // self._columns)
        self._tokens, self._width = self._panels[0].values.shape
        room = _WIDTH / (self._columns * max(self._tokens, self._width))
        self._cell = min(max(room, _SMALLEST_CELL), _LARGEST_CELL)  # inches
        self._font = min(max(self._cell * _POINTS * 0.62, 5.0), 10.0)  # points

    def fill(self, figure: "Figure") -> None:
        """Draw all panels, the colour bar and the titles."""
        figure.set_size_inches(self._size())
        grid = figure.subplots(self._rows, self._columns, squeeze=False)
        all_axes = list(grid.flat)
        for place, panel in enumerate(self._panels):
            image = self._draw(all_axes[place], panel)
            self._name(all_axes[place], panel, place)
        for axes in all_axes[len(self._panels) :]:
            axes.set_visible(False)
        bar = figure.colorbar(image, ax=all_axes, pad=0.02, aspect=30, shrink=0.9)
        bar.set_label(_LEGENDS[self._look.choice.stage], fontsize="small")
        bar.ax.tick_params(labelsize="small")
        figure.suptitle(self._look.title, fontweight="bold", fontsize="medium")

    def _size(self) -> tuple[float, float]:
        """Return width and height in inches, about: what is left over is cut off."""
        strip = 0.0 if self._panels[-1].memory_share is None else _STRIP + 0.2
        label = max(map(len, self._labels)) * self._font * 0.65 / _POINTS
        width = self._columns * (self._width * self._cell + strip + 0.3) + label + 1.5
        return max(width, 3.5), self._rows * (self._tokens * self._cell + 0.45) + label + 1.0

    def _draw(self, axes: "Axes", panel: Panel) -> "AxesImage":
        from matplotlib import colormaps  # noqa: PLC0415
        from matplotlib.colors import PowerNorm  # noqa: PLC0415

        scale = self._scale
        image = axes.imshow(
            panel.values,
            cmap=colormaps[_COLOURS].with_extremes(bad=_HIDDEN_COLOUR),
            norm=PowerNorm(scale.power, scale.low, scale.high),
            interpolation="nearest",
        )
        if self._cell >= _NUMBERED_CELL:
            self._number(axes, panel)
        if panel.memory_share is not None:
            self._strip(axes, panel.memory_share.tolist())
        return image

    def _number(self, axes: "Axes", panel: Panel) -> None:
        places = 2 if self._look.choice.stage is Stage.WEIGHTS else 1
        for (row, column), value in np.ndenumerate(panel.values):
            if not np.isnan(value):
                light = self._scale.shade(float(value)) > _LIGHT_TEXT_FROM
                colour = "white" if light else "black"
                number = f"{value:.{places}f}"
                axes.text(column, row, number, color=colour, ha="center", va="center", fontsize=7)

    def _strip(self, axes: "Axes", shares: Sequence[float]) -> None:
        """Draw beside each row how much of it came from memory."""
        panel_width = self._width * self._cell
        place = (1 + 0.1 / panel_width, 0.0, _STRIP / panel_width, 1.0)
        strip = axes.inset_axes(place, sharey=axes)
        rows = range(len(shares))
        strip.barh(rows, [1.0] * len(shares), height=0.8, color=_HIDDEN_COLOUR)
        strip.barh(rows, shares, height=0.8, color=_MEMORY_COLOUR)
        if self._cell >= _LABELLED_BAR:
            for row, share in enumerate(shares):
                strip.text(0.95, row, f"{share:.0%}", ha="right", va="center", fontsize=self._font)
        strip.set_xlim(0, 1)
        strip.set_xticks([])
        strip.tick_params(left=False, labelleft=False)
        strip.spines[:].set_visible(False)
        strip.set_title("memory", fontsize="small", color=_MEMORY_COLOUR)

    def _name(self, axes: "Axes", panel: Panel, place: int) -> None:
        """Write the title, and labels where no other panel has them already."""
        axes.set_title(panel.title, fontsize="small")
        outputs = self._look.choice.stage is Stage.OUTPUTS
        columns = panel.columns if outputs else self._labels
        font = self._font
        axes.set_xticks([])
        axes.set_yticks([])
        if place + self._columns >= len(self._panels):
            axes.set_xticks(range(len(columns)), columns, rotation=90, fontsize=font)
            axes.set_xlabel("head" if outputs else "token looked at", fontsize="small")
        if place % self._columns == 0:
            axes.set_yticks(range(self._tokens), self._labels, fontsize=font)
            axes.set_ylabel("token" if outputs else "token that looks", fontsize="small")
        axes.tick_params(length=0)


def _fonts() -> dict[str, frozenset[int]]:
    """Return the fonts to draw with and the characters each of them has."""
    from matplotlib.font_manager import (  # noqa: PLC0415
        FontProperties,
        findfont,
        fontManager,
        get_font,
    )

    installed = set(fontManager.get_font_names())
    names = [_FONT, *(name for name in _FALLBACK_FONTS if name in installed)]
    files = {name: findfont(FontProperties(family=[name])) for name in names}
    return {name: frozenset(get_font(file).get_charmap()) for name, file in files.items()}


def _drawable(label: str, fonts: Iterable[frozenset[int]]) -> str:
    """Return the label with the code points of characters that no font can draw."""
    drawn = frozenset().union(*fonts)
    return "".join(char if ord(char) in drawn else f"U+{ord(char):04X}" for char in label)
