"""Curves as pictures, one for each pair of axes."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from loadtests.bench.errors import BenchError
from loadtests.bench.result import Curve, Result

_DECADES: Final = 20.0
"""An axis that spans more than this factor is logarithmic."""


def draw(folder: Path, results: Sequence[Result]) -> list[Path]:
    """Write a PNG file for every pair of axes that an experiment has curves for.

    Raises:
        BenchError: matplotlib is not installed.
        OSError: a file cannot be written.
    """
    pictures: dict[tuple[str, str, str], list[Curve]] = defaultdict(list)
    for result in results:
        for curve in result.curves:
            pictures[result.name, curve.x, curve.y].append(curve)
    return [
        _picture(folder / f"{name}-{y.split(',')[0].replace(' ', '-').lower()}.png", curves)
        for (name, _, y), curves in pictures.items()
    ]


def _picture(file: Path, curves: Sequence[Curve]) -> Path:
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415 - an optional dependency
    except ImportError as error:
        raise BenchError("plots need matplotlib: pip install 'longstream[reports]'") from error

    picture = Figure(figsize=(7, 4.5), layout="constrained")
    axes = picture.subplots()
    for curve in curves:
        xs, ys = zip(*curve.points, strict=True)
        axes.plot(xs, ys, marker=".", label=curve.name)
    axes.set_xlabel(curves[0].x)
    axes.set_ylabel(curves[0].y)
    heights = [y for curve in curves for _, y in curve.points if y > 0]
    if heights and max(heights) > _DECADES * min(heights):
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    picture.savefig(file, format="png", dpi=150, metadata={"Software": None})
    return file
