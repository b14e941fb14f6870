"""Virtual environments of the other servers, made once from pinned lists."""

import hashlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from loadtests.bench.errors import BenchError

LISTS: Final = Path(__file__).parent / "environments"
INSTALL_S: Final = 1800
_TORCH: Final = "torch=="
Run = Callable[[list[str], Path], None]


def requirements(name: str, folder: Path = LISTS) -> list[str]:
    """Return the pinned packages of an environment, torch first.

    Raises:
        BenchError: there is no such list, a line is not pinned, or torch does not come first.
    """
    file = folder / f"{name}.txt"
    if not file.is_file():
        known = ", ".join(sorted(found.stem for found in folder.glob("*.txt")))
        raise BenchError(f"no list of packages is called {name}; there are {known}")
    lines = [line.strip() for line in file.read_text("utf-8").splitlines()]
    pins = [line for line in lines if line and not line.startswith("#")]
    loose = [pin for pin in pins if "==" not in pin]
    if loose or not pins or not pins[0].startswith(_TORCH):
        raise BenchError(f"{file.name}: torch comes first and every line is pinned; see {loose}")
    return pins


def environment(name: str, folder: Path, run: Run | None = None) -> Path:
    """Make an environment, unless it is there.

    Args:
        name: A list in `environments/`.
        folder: Where environments are kept; each has the digest of its list in its name.
        run: Runs a command with its output in a file; a subprocess by default.

    Returns:
        The folder of its programs, `bin`.

    Raises:
        BenchError: it could not be made; the message names the log.
    """
    pins = requirements(name)
    digest = hashlib.sha256("\n".join(pins).encode()).hexdigest()[:12]
    home = folder / f"{name}-{digest}"
    done = home / "complete"
    if done.is_file():
        return home / "bin"
    perform = run or _run
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / f"{home.name}.log"
    perform([sys.executable, "-m", "venv", "--clear", str(home)], log)
    pip = [str(home / "bin" / "python"), "-m", "pip", "install", "--disable-pip-version-check"]
    pip += ["--no-compile"]  # most of what comes along is never imported
    # torch on its own first: whatever asks for torch afterwards finds it and pulls no other build.
    perform([*pip, pins[0]], log)
    perform([*pip, *pins], log)
    done.touch()
    return home / "bin"


def _run(command: list[str], log: Path) -> None:
    with log.open("ab") as output:
        try:
            subprocess.run(
                command, stdout=output, stderr=subprocess.STDOUT, timeout=INSTALL_S, check=True
            )
        except subprocess.TimeoutExpired as error:
            raise BenchError(
                f"an environment took over {INSTALL_S} s to make; see {log}"
            ) from error
        except (subprocess.CalledProcessError, OSError) as error:
            raise BenchError(f"an environment cannot be made; see {log}") from error
