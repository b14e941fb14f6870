"""The report as a picture: every figure with its interval, and the gains below."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from models.evaluate.bootstrap import Estimate
from models.evaluate.errors import EvaluationError
from models.evaluate.figures import SPEARMAN
from models.evaluate.metrics import DEPTH
from models.evaluate.report import Report

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_NDCG = f"ndcg@{DEPTH}"


def require_matplotlib() -> None:
    """Make sure that plots can be drawn.

    Raises:
        EvaluationError: matplotlib is not installed; the message says how to.
    """
    try:
        import matplotlib  # noqa: F401, ICN001, PLC0415 - an optional dependency
    except ImportError as error:
        raise EvaluationError("plots need matplotlib: pip install 'longstream[reports]'") from error


def draw(report: Report, file: Path) -> None:
    """Write the main figures, and the gains over each baseline, as a PNG file.

    Raises:
        EvaluationError: matplotlib is not installed.
        OSError: the file cannot be written.
    """
    require_matplotlib()
    from matplotlib.figure import Figure  # noqa: PLC0415

    metrics = [
        (source.name, SPEARMAN if "pairs" in source.counts else _NDCG) for source in report.sources
    ]
    tables = [("", {row.id: row.figures for row in report.rows})]
    tables += [(f"gain over {base}: ", rows) for base, rows in report.differences.items() if rows]
    width, height = 3.2 * len(metrics) + 1, (0.35 * len(report.rows) + 1.2) * len(tables)
    picture = Figure(figsize=(width, height), layout="constrained")
    grid = picture.subplots(len(tables), len(metrics), squeeze=False)
    for axes_of_table, (title, rows) in zip(grid, tables, strict=True):
        for axes, (name, metric) in zip(axes_of_table, metrics, strict=True):
            estimates = [figures[name][metric] for figures in rows.values()]
            _points(axes, list(rows), estimates)
            axes.set_title(f"{title}{name}\n{metric}", fontsize="small")
            if title:
                axes.axvline(0, color="grey", linewidth=0.8)
            if axes is not axes_of_table[0]:
                axes.tick_params(labelleft=False)
    picture.savefig(file, format="png", dpi=150, metadata={"Software": None})


def _points(axes: "Axes", names: Sequence[str], estimates: Sequence[Estimate]) -> None:
    """Draw one point with its interval per name, the first on top."""
    for place, estimate in enumerate(estimates):
        axes.plot(estimate.value, place, "o", color="C0")
        if estimate.low is not None and estimate.high is not None:
            axes.hlines(place, estimate.low, estimate.high, color="C0")
    axes.set_yticks(range(len(names)), labels=names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.locator_params(axis="x", nbins=4)
    axes.tick_params(labelsize="small")
    axes.grid(axis="x", alpha=0.3)
