"""Benchmark longstream beside the embedding servers people use, on the same weights.

    python -m loadtests.bench [--only batches,query] [--minutes 30] [--out loadtests/report]

Starts all servers itself, on loopback, and stops them. The first run makes the other servers' virtual environments,
which takes some minutes more and some gigabytes of disk; nothing is fetched from a model hub. Figures mean something on
an otherwise idle machine only.
"""

import asyncio
import signal
from pathlib import Path
from typing import Annotated, Final

import typer

from loadtests.bench.bench import Settings
from loadtests.bench.errors import BenchError
from loadtests.bench.experiments import EXPERIMENTS
from loadtests.bench.readme import check_marks, fill
from loadtests.bench.report import Machine, earlier, together, write
from loadtests.bench.run import chosen, run_all

PEERS: Final = "infinity-torch,infinity-ctranslate2,infinity-onnx,sentence-transformers"
_DEFAULT: Final = Settings()


def main(  # noqa: PLR0913 - one parameter per option of the command
    *,
    only: Annotated[str, typer.Option(help="Experiments, separated by commas; all.")] = "",
    peers: Annotated[str, typer.Option(help="Other servers; empty for none.")] = PEERS,
    minutes: Annotated[float, typer.Option(help="For all experiments, installing apart.")] = 30.0,
    rounds: Annotated[int, typer.Option(min=1)] = _DEFAULT.rounds,
    seconds: Annotated[float, typer.Option(min=1.5, help="Of one measurement.")] = _DEFAULT.seconds,
    tokens: Annotated[
        int, typer.Option(min=2000, help="Of the document of `flat`.")
    ] = _DEFAULT.tokens,
    overload_s: Annotated[float, typer.Option(min=2)] = _DEFAULT.overload_s,
    whole: Annotated[
        int, typer.Option(help="Longest document of `recompute` run in whole.")
    ] = _DEFAULT.whole,
    starts: Annotated[int, typer.Option(min=1, help="Cold starts.")] = _DEFAULT.starts,
    before: Annotated[
        float | None, typer.Option(help="Seconds of a cold start to compare with.")
    ] = None,
    folder: Annotated[Path, typer.Option(help="Environments, data, logs.")] = Path("build/bench"),
    out: Annotated[Path, typer.Option(help="Where the report goes.")] = Path("loadtests/report"),
    add: Annotated[
        bool, typer.Option("--add", help="Keep other experiments that the report has.")
    ] = False,
    readme: Annotated[
        Path | None, typer.Option(help="Has the two marks that its table goes between.")
    ] = None,
) -> None:
    """Run experiments and write the report."""
    settings = Settings(
        rounds=rounds,
        seconds=seconds,
        tokens=tokens,
        overload_s=overload_s,
        whole=whole,
        starts=starts,
        before=before,
    )
    # Ended as by Ctrl-C: the servers are stopped on the way out.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        experiments = chosen(_split(only))
        if readme is not None:
            check_marks(readme)
        machine = Machine.here()
        old = earlier(out, machine) if add else []
        results = asyncio.run(
            run_all(experiments, settings, folder, _split(peers), minutes=minutes, say=typer.echo)
        )
        results = together(old, results, list(EXPERIMENTS))
        files = write(out, machine, settings, results)
        if readme is not None:
            fill(readme, f"On {machine}; ratios are medians of rounds in turns", results)
    except BenchError as error:
        raise SystemExit(f"bench: {error}") from error
    typer.echo("\n".join(map(str, files)))


def _split(names: str) -> tuple[str, ...]:
    return tuple(part for name in names.split(",") if (part := name.strip()))


if __name__ == "__main__":
    typer.run(main)
