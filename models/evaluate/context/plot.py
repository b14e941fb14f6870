"""The report on context as a picture: gain against position, link accuracy against distance."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from models.evaluate.bootstrap import Estimate
from models.evaluate.context.report import ContextReport, ContextRow, PositionGain, SetReport
from models.evaluate.context.rows import ALONE
from models.evaluate.context.scores import MAIN
from models.evaluate.plot import require_matplotlib

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_CHANCE: Final = 0.25  # of four attribute chunks
_LINEAR_UP_TO: Final = 1000  # tokens: the axis is logarithmic, and begins at 0

_Panel = Callable[["Axes"], None]


def draw(report: ContextReport, file: Path) -> bool:
    """Write a PNG file, if there is something to draw.

    Returns:
        False where the report has neither positions nor links; then no file is written.

    Raises:
        EvaluationError: matplotlib is not installed.
        OSError: the file cannot be written.
    """
    require_matplotlib()
    from matplotlib.figure import Figure  # noqa: PLC0415

    panels: list[_Panel] = [partial(_positions, found) for found in report.sets if found.positions]
    panels += [partial(_links, found) for found in report.sets if _linked(found)]
    if not panels:
        return False
    picture = Figure(figsize=(5.5 * len(panels), 4.2), layout="constrained")
    [axes_of_row] = picture.subplots(1, len(panels), squeeze=False)
    for axes, panel in zip(axes_of_row, panels, strict=True):
        panel(axes)
        axes.tick_params(labelsize="small")
        axes.grid(alpha=0.3)
        axes.legend(fontsize="x-small")
    picture.savefig(file, format="png", dpi=150, metadata={"Software": None})
    return True


def _positions(found: SetReport, axes: "Axes") -> None:
    for place, (model, gains) in enumerate(found.positions.items()):
        _line(axes, [at.tokens for at in gains], [_main(at) for at in gains], model, place)
    axes.axhline(0, color="grey", linewidth=0.8)
    axes.set_xscale("symlog", linthresh=_LINEAR_UP_TO)
    axes.set_xlabel("tokens read before the document", fontsize="small")
    axes.set_title(f"{found.name}: gain over {ALONE}\n{MAIN}", fontsize="small")


def _links(found: SetReport, axes: "Axes") -> None:
    for place, row in enumerate(_linked(found)):
        _line(axes, list(row.link), list(row.link.values()), row.id, place)
    axes.axhline(_CHANCE, color="grey", linewidth=0.8)
    axes.set_xscale("log", base=2)
    distances = sorted({distance for row in found.rows for distance in row.link})
    axes.set_xticks(distances, labels=[str(distance) for distance in distances])
    axes.set_ylim(0, 1)
    axes.set_xlabel("distance in chunks", fontsize="small")
    axes.set_title(f"{found.name}: link accuracy", fontsize="small")


def _linked(found: SetReport) -> list[ContextRow]:
    """Return the rows worth a line: the chunk alone, the best free row, and the memories."""
    return [
        row
        for row in found.rows
        if row.link and (row.id in (ALONE, found.best_free) or row.kind == "memory")
    ]


def _main(at: PositionGain) -> Estimate:
    return at.gain[MAIN]


def _line(
    axes: "Axes", places: Sequence[int], estimates: Sequence[Estimate], label: str, index: int
) -> None:
    color = f"C{index}"
    axes.plot(places, [e.value for e in estimates], "o-", label=label, color=color, markersize=4)
    for place, estimate in zip(places, estimates, strict=True):
        if estimate.low is not None and estimate.high is not None:
            axes.vlines(place, estimate.low, estimate.high, color=color, linewidth=0.8)
