"""One book through one session, a chunk a request: is memory constant, and the last chunk as fast as the first?

    python -m loadtests.book --url http://127.0.0.1:8000 [--book FILE] [--share 1.0]

Prints a JSON report. Appends are timed at the client, one after the other. Exits with 1 if the state or the replica's
memory grew; chunk times are a report only, other work on the machine shows in them.
"""

import json
import statistics
import time
from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer

from models.chunking import split_text
from service.cli.demo_reading import replica_bytes
from service.client import LongstreamClient
from service.config import client_api_key

EDGE = 100
"""Chunks at either end whose median times are compared."""
SAMPLES = 20
"""Memory readings over the book."""
GROWTH = 1.02
"""Most the replica's memory may be at the end of what it was at a tenth of the book."""


def book_text(book: Path | None) -> str:
    """Return the text of a file, or of the book that ships with the demo."""
    source = book or files("service.demo").joinpath("war_and_peace.txt")
    return source.read_text("utf-8")


def main(
    url: Annotated[str, typer.Option()] = "http://127.0.0.1:8000",
    book: Annotated[Path | None, typer.Option()] = None,
    share: Annotated[float, typer.Option(help="Part of the book to read.")] = 1.0,
    model: Annotated[str, typer.Option()] = "infini",
) -> None:
    """Read a book and report."""
    chunks = list(split_text(book_text(book), 1000))
    chunks = chunks[: int(len(chunks) * share)]
    if len(chunks) < 2 * EDGE:
        raise typer.BadParameter(f"{len(chunks)} chunks; {2 * EDGE} are needed to compare the ends")
    with LongstreamClient(url, client_api_key()) as client:
        session = client.create_session(model).id
        seconds: list[float] = []
        states: set[int] = set()
        resident: list[int] = []
        begun = time.monotonic()
        marks = {round(len(chunks) * (i + 1) / SAMPLES) - 1 for i in range(SAMPLES)}
        for seq, chunk in enumerate(chunks):
            sent = time.monotonic()
            client.append(session, [chunk], seq)
            seconds.append(time.monotonic() - sent)
            if seq in marks or seq == 0:  # the state after the first chunk counts too
                states.add(client.session(session).state_bytes)
            if seq in marks:
                resident.append(replica_bytes(client.metrics(), model))
        total = time.monotonic() - begun
        tokens = client.session(session).tokens
    first, last = (statistics.median(part) for part in (seconds[:EDGE], seconds[-EDGE:]))
    tenth, end = resident[SAMPLES // 10 - 1], resident[-1]
    report = {
        "chunks": len(chunks),
        "tokens": tokens,
        "tokens_per_s": round(tokens / total),
        "state_bytes": sorted(states),
        "resident_mib": [round(size / 2**20, 1) for size in resident],
        "resident_100_over_10": round(end / tenth, 4),
        "append_ms_first_100": round(first * 1e3, 2),
        "append_ms_all": round(statistics.median(seconds) * 1e3, 2),
        "append_ms_last_100": round(last * 1e3, 2),
        "last_over_first": round(last / first, 4),
    }
    typer.echo(json.dumps(report, indent=1))
    if len(states) > 1 or end > GROWTH * tenth:
        raise SystemExit(1)


if __name__ == "__main__":
    typer.run(main)
