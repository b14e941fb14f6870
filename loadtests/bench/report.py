"""A run's results on disk: JSON, Markdown, plots."""

import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import orjson
import psutil

from loadtests.bench.bench import Settings
from loadtests.bench.markdown import document
from loadtests.bench.plot import draw
from loadtests.bench.result import Result


@dataclass(frozen=True, slots=True)
class Machine:
    """Where a run took place.

    Attributes:
        processor: Its name, as the kernel tells it.
        cores: Logical ones.
        memory_gib: Installed.
        system: Kernel and Python.
        load: Average load of the last minute, when the run began.
    """

    processor: str
    cores: int
    memory_gib: float
    system: str
    load: float

    @classmethod
    def here(cls) -> Self:
        """Describe this machine."""
        return cls(
            processor=_processor(),
            cores=os.cpu_count() or 1,
            memory_gib=round(psutil.virtual_memory().total / 2**30, 1),
            system=f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
            load=round(psutil.getloadavg()[0], 2),
        )


def write(
    folder: Path, machine: Machine, settings: Settings, results: Sequence[Result]
) -> list[Path]:
    """Write `report.json`, `report.md` and the plots.

    Args:
        folder: Made if it is not there; files of an earlier run are replaced.
        machine: Where it took place.
        settings: How long things took.
        results: What was found.

    Returns:
        The files.

    Raises:
        OSError: one cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    pictures = draw(folder, results)
    made = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    tree = {
        "made": made,
        "machine": asdict(machine),
        "settings": asdict(settings),
        "results": [as_json(result) for result in results],
    }
    data = folder / "report.json"
    data.write_bytes(orjson.dumps(tree, option=orjson.OPT_INDENT_2))
    text = folder / "report.md"
    about = f"{made}; {machine.processor}, {machine.cores} cores, {machine.memory_gib} GiB; {machine.system}"
    text.write_text(document(about, results, [one.name for one in pictures]), "utf-8")
    return [data, text, *pictures]


def as_json(result: Result) -> dict[str, Any]:
    """Return a result as JSON, with what its verdicts came to."""
    tree = asdict(result)
    for verdict, one in zip(tree["verdicts"], result.verdicts, strict=True):
        verdict["met"] = one.met
    return tree


def _processor() -> str:
    """Return the processor's name; Linux has it in a file, elsewhere Python knows."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text("utf-8").splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
