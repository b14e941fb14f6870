"""The table of promises in a README, between two marks."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from loadtests.bench.errors import BenchError
from loadtests.bench.markdown import summary
from loadtests.bench.result import Result

BEGIN: Final = "<!-- benchmark: written by `make bench BENCH='--readme README.md'` -->"
END: Final = "<!-- end of benchmark -->"


def check_marks(file: Path) -> None:
    """Make sure, before hours of measuring, that there is a place for the table.

    Raises:
        BenchError: the file cannot be read, or the marks are not in it, once each and in order.
    """
    _split(file)


def fill(file: Path, about: str, results: Sequence[Result]) -> None:
    """Put the table of promises between the marks; everything else stays.

    Args:
        file: The README.
        about: When and where, a sentence without its full stop.
        results: What was found.

    Raises:
        BenchError: as `check_marks`.
        OSError: the file cannot be written.
    """
    before, after = _split(file)
    middle = f"{BEGIN}\n{about}.\n\n{summary(results)}\n{END}"
    file.write_text(f"{before}{middle}{after}", "utf-8")


def _split(file: Path) -> tuple[str, str]:
    try:
        text = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BenchError(f"cannot read {file}: {error}") from error
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end or BEGIN in rest or END in after:
        raise BenchError(f"{file} has no place for the table: put {BEGIN} and {END} where it goes")
    return before, after
