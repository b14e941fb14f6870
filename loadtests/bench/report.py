"""A run's results on disk: JSON, Markdown, plots."""

import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Self

import orjson
import psutil
from pydantic import TypeAdapter

from loadtests.bench.bench import Settings
from loadtests.bench.errors import BenchError
from loadtests.bench.markdown import document, first_line
from loadtests.bench.plot import draw
from loadtests.bench.result import Result

_READER: Final = TypeAdapter(list[Result])


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

    def __str__(self) -> str:
        """Return it in a line."""
        return f"{self.processor}, {self.cores} cores, {self.memory_gib} GiB; {self.system}"

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
    about = f"{made}; {machine}"
    text.write_text(document(about, results, [one.name for one in pictures]), "utf-8")
    return [data, text, *pictures]


def earlier(folder: Path, machine: Machine) -> list[Result]:
    """Return the results of the report in a folder; none if there is no report.

    Raises:
        BenchError: it is no report, one of another version, or of another machine than this.
    """
    data = folder / "report.json"
    if not data.is_file():
        return []
    try:
        tree = orjson.loads(data.read_bytes())
        results = _READER.validate_python(tree["results"])
        before = (tree["machine"]["processor"], tree["machine"]["cores"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BenchError(
            f"{data} is no report to add to, move it away: {first_line(str(error))}"
        ) from error
    if before != (machine.processor, machine.cores):
        raise BenchError(f"{data} is of another machine, {before[0]}: move it away")
    return results


def together(old: Sequence[Result], new: Sequence[Result], order: Sequence[str]) -> list[Result]:
    """Return the results of two runs in the order of some names; of what both have, the newer if it was measured."""
    found = {result.name: result for result in old}
    found |= {one.name: one for one in new if not one.skipped or one.name not in found}
    return [found[name] for name in order if name in found]


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
