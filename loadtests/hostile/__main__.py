"""`python -m loadtests.hostile`: the corpus, twice, against a running service.

Prints a JSON report. Exits with 1 on any 5xx, on any case over a second, on an answer that is not the expected one, if
the gateways' memory grew from the first round to the second by more than 16 MiB, or if the service is not the same as
before.
"""

import asyncio
import json
from typing import Annotated, Final

import httpx
import numpy as np
import typer
from prometheus_client.parser import text_string_to_metric_families

from loadtests.hostile import CORPUS
from loadtests.hostile.runner import Outcome, Target, play_all
from service.client import LongstreamClient
from service.config import client_api_key

GROWTH_BYTES: Final = 16 * 1024**2
_WELL: Final = "The service is as it was."


def gateway_bytes(metrics: str) -> int:
    """Return the resident memory of all gateways."""
    return sum(
        int(sample.value)
        for family in text_string_to_metric_families(metrics)
        for sample in family.samples
        if sample.name == "longstream_process_resident_memory_bytes"
        and sample.labels.get("replica", "gateway").startswith("gateway")
    )


def report(outcomes: list[Outcome], resident: list[int], *, same: bool) -> dict[str, object]:
    """Return what is to be said of two rounds."""
    return {
        "cases": len(CORPUS),
        "requests": len(outcomes),
        "server_errors": sum(status >= 500 for one in outcomes for status in one.statuses),  # noqa: PLR2004
        "slowest_s": round(max(one.seconds for one in outcomes), 3),
        "slowest": max(outcomes, key=lambda one: one.seconds).name,
        "gateway_mib": [round(size / 2**20, 1) for size in resident],
        "healthy_afterwards": same,
        "faults": {one.name: one.faults for one in outcomes if one.faults},
    }


def main(
    url: Annotated[str, typer.Option()] = "http://127.0.0.1:8000",
    model: Annotated[str, typer.Option()] = "infini",
    patience: Annotated[float, typer.Option(help="Longest time of a case, seconds.")] = 1.0,
) -> None:
    """Play the corpus and report."""
    key = client_api_key()
    with LongstreamClient(url, key) as client:
        before = client.embed([_WELL], model).vectors
        session = client.create_session(model).id
        target = Target(url, key, session, patience)
        resident = [gateway_bytes(client.metrics())]
        outcomes: list[Outcome] = []
        for _ in range(2):
            outcomes += asyncio.run(play_all(CORPUS, target))
            resident.append(gateway_bytes(client.metrics()))
        client.delete(session)
        same = bool(np.allclose(before, client.embed([_WELL], model).vectors, atol=1e-5))
    same = same and httpx.get(f"{url}/health/ready").is_success
    said = report(outcomes, resident, same=same)
    typer.echo(json.dumps(said, indent=1, ensure_ascii=False))
    if said["faults"] or not same or resident[2] - resident[1] > GROWTH_BYTES:
        raise SystemExit(1)


if __name__ == "__main__":
    typer.run(main)
