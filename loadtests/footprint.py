"""What all variants cost in one machine's memory, and what their shared base saves. Linux only.

    python -m loadtests.footprint [--models multi-head,infini,…]

Starts a service of its own, sends every model the same texts, and prints a JSON report. PSS counts a page that several
processes map in equal parts, so PSS adds up over processes; RSS does not.
"""

import json
import re
import tempfile
from pathlib import Path
from typing import Annotated, Final

import psutil
import typer

from service.cli.child_service import ChildService
from service.client import LongstreamClient
from service.config import client_api_key
from service.deployments.address import claim_port

TITLE: Final = "ray::ServeReplica:longstream:encoder-"
BASE_FILE: Final = "model.safetensors"
TEXTS: Final = ["The quick brown fox jumps over the lazy dog. " * 20] * 8
_HEADER = re.compile(r"^[0-9a-f]+-[0-9a-f]+ \S+ \S+ \S+ \S+ *(.*)$")
_FIGURE = re.compile(r"^(Rss|Pss): +(\d+) kB$")
MIB = 1024


def mappings(smaps: str) -> dict[str, dict[str, int]]:
    """Sum the figures of `/proc/PID/smaps`.

    Returns:
        `all` and `base` (the weights file alone), each with `Rss` and `Pss` in KiB.
    """
    sums = {part: {"Rss": 0, "Pss": 0} for part in ("all", "base")}
    of_base = False
    for line in smaps.splitlines():
        header = _HEADER.match(line)
        figure = _FIGURE.match(line)
        if header:
            of_base = header[1].endswith(BASE_FILE)
        elif figure:
            for part in ("all", "base") if of_base else ("all",):
                sums[part][figure[1]] += int(figure[2])
    return sums


def replicas(pid: int) -> dict[str, dict[str, dict[str, int]]]:
    """Return the mappings of each encoder replica below a process, by model."""
    found = {}
    for process in psutil.Process(pid).children(recursive=True):
        title = " ".join(process.cmdline())
        if title.startswith(TITLE):
            smaps = Path(f"/proc/{process.pid}/smaps").read_text("ascii", errors="replace")
            found[title.removeprefix(TITLE).split()[0]] = mappings(smaps)
    return found


def main(
    models: Annotated[str | None, typer.Option(help="Ids, separated by commas; all.")] = None,
) -> None:
    """Start a service, let every model encode, and add up."""
    with tempfile.TemporaryDirectory() as folder:
        claim, port = claim_port("127.0.0.1", 0)
        claim.close()
        service = ChildService.start(port, Path(folder) / "log", Path(folder) / "data", models)
        try:
            with LongstreamClient(service.url, client_api_key()) as client:
                for model in client.models():
                    client.embed(TEXTS, model=model.id)
            found = replicas(service.process.pid)
        finally:
            service.stop()
    total, base = (
        {kind: sum(one[part][kind] for one in found.values()) / MIB for kind in ("Rss", "Pss")}
        for part in ("all", "base")
    )
    saved = base["Rss"] - base["Pss"]
    report = {
        "ready_s": round(service.ready_s, 1),
        "pss_mib": {model: round(one["all"]["Pss"] / MIB, 1) for model, one in found.items()},
        "base_resident_mib": {
            model: round(one["base"]["Rss"] / MIB, 1) for model, one in found.items()
        },
        "total_pss_mib": round(total["Pss"], 1),
        "shared_base_saves_mib": round(saved, 1),
        "total_without_sharing_mib": round(total["Pss"] + saved, 1),
    }
    typer.echo(json.dumps(report, indent=2))


if __name__ == "__main__":
    typer.run(main)
