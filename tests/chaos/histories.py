"""Record operations of concurrent clients on sessions that two replicas own at once, and judge them.

    python -m tests.chaos.histories [--operations 1000000] [--store memory] [--seed 1] [--out history.jsonl]

Exits with 1 if the checker finds anything.
"""

import asyncio
import json
import random
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Annotated, Any, Final, Literal

import typer

from service.sessions.stores import open_store
from tests.chaos.checker import Violation, check
from tests.chaos.history import write
from tests.chaos.owners import Case, Mischief, Owners, fold, run_group
from tests.redis_server import RedisProcess

SESSIONS: Final = 8
CLIENTS: Final = 3
EACH: Final = 100
"""Sessions at once, clients of each, and operations of each client, before the next sessions are begun."""


@dataclass
class Tally:
    """What was seen over all groups."""

    operations: int = 0
    chunks: int = 0
    lost_races: int = 0
    attempts: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    violations: list[Violation] = field(default_factory=list)

    def add(self, cases: list[Case]) -> None:
        """Judge sessions that are over."""
        for case in cases:
            self.operations += len(case.operations)
            self.chunks += len(case.chain)
            self.attempts += sum(one.attempts for one in case.operations)
            self.outcomes.update(f"{one.kind} {one.outcome}" for one in case.operations)
            self.violations += check(case.session, case.operations, case.chain, fold)

    def report(self) -> dict[str, Any]:
        """Return the figures."""
        return {
            "operations": self.operations,
            "attempts": self.attempts,
            "chunks": self.chunks,
            "lost_races": self.lost_races,
            "outcomes": dict(sorted(self.outcomes.items())),
            "violations": len(self.violations),
            "first_violations": [str(violation) for violation in self.violations[:5]],
        }


async def record(
    spec: str,
    folder: Path,
    operations: int,
    seed: int,
    out: IO[str] | None = None,
    each: int = EACH,
) -> Tally:
    """Run groups of sessions until there are so many operations.

    Args:
        spec: The store, as `sessions.store`, or `memory`.
        folder: Where a file store puts its file.
        operations: Least number of operations.
        seed: Decides everything but the timing of a store that is not in memory.
        out: Where to write the history, if it is to be kept.
        each: Operations of each client.
    """
    tally = Tally()
    group = 0
    while tally.operations < operations:
        rng = random.Random(f"{seed} {group}")  # noqa: S311 - a history is no secret
        async with open_store(spec, folder) as store:
            owners = Owners(store, Mischief(), rng)
            names = [f"s{seed}-{group}-{number}" for number in range(SESSIONS)]
            cases = await run_group(owners, names, CLIENTS, each, rng)
        tally.lost_races += owners.flaky.lost_races
        tally.add(cases)
        if out is not None:
            for case in cases:
                write(out, case.operations)
        group += 1
    return tally


def main(
    operations: Annotated[int, typer.Option()] = 1_000_000,
    store: Annotated[Literal["memory", "sqlite", "redis"], typer.Option()] = "memory",
    seed: Annotated[int, typer.Option()] = 1,
    out: Annotated[Path | None, typer.Option()] = None,
) -> None:
    """Run it and report."""
    began = time.monotonic()
    with ExitStack() as stack:
        folder = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="longstream-histories-"))
        )
        spec = str(store)
        if store == "redis":
            spec = stack.enter_context(RedisProcess(folder / "redis")).url
        file = None if out is None else stack.enter_context(out.open("w", encoding="utf-8"))
        tally = asyncio.run(record(spec, folder, operations, seed, file))
    report = {"store": store, "seed": seed, **tally.report()}
    typer.echo(json.dumps(report | {"seconds": round(time.monotonic() - began)}, indent=1))
    raise SystemExit(1 if tally.violations else 0)


if __name__ == "__main__":
    typer.run(main)
