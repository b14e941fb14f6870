"""Kill every process of the service in the middle of a book, start it again, and count what was lost.

    python -m loadtests.crashes [--kills 10] [--chunks 400] [--seed 1]

The client never learns of it: it retries until the service is back. Afterwards the vectors are compared with those of
an uninterrupted session. Exits with 1 if any is missing, double, or off by more than 1e-5.
"""

import contextlib
import json
import random
import tempfile
import threading
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import psutil
import typer

from loadtests.book import book_text
from models.chunking import split_text
from service.cli.child_service import HOST, ChildService
from service.client import Chunk, LongstreamClient, RetryPolicy
from service.config import client_api_key
from service.deployments.address import claim_port

TOLERANCE = 1e-5
PATIENT = RetryPolicy(retry_for_s=180.0, longest_wait_s=0.5)


class Victim:
    """A service that is killed and started again on the same port and data."""

    def __init__(self, folder: Path) -> None:
        claim, self._port = claim_port(HOST, 0)
        claim.close()
        self._folder = folder
        self.ready_after_s: list[float] = []
        self._service = self._start()
        self.url = self._service.url

    def _start(self) -> ChildService:
        service = ChildService.start(
            self._port, self._folder / "service.log", self._folder / "data"
        )
        self.ready_after_s.append(round(service.ready_s, 1))
        return service

    def kill_and_start(self) -> int:
        """Send SIGKILL to every process at once, then start anew; return how many there were."""
        first = psutil.Process(self._service.process.pid)
        family = [first, *first.children(recursive=True)]
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self._service.process.wait()
        self._service = self._start()
        return len(family)

    def stop(self) -> None:
        """End it in good order."""
        self._service.stop()


class Reader(threading.Thread):
    """A client that reads a book in requests of random size and knows nothing of crashes."""

    def __init__(self, url: str, chunks: list[str], seed: int) -> None:
        super().__init__(name="reader", daemon=True)
        self._client = LongstreamClient(url, client_api_key(), retry=PATIENT, timeout_s=30)
        self._chunks = chunks
        self._random = random.Random(seed)  # noqa: S311 - request sizes are no secret
        self.session = self._client.create_session("infini").id
        self.answers: list[Chunk] = []
        self.failure: Exception | None = None

    def run(self) -> None:
        """Read the whole book."""
        try:
            with self._client:
                while len(self.answers) < len(self._chunks):
                    at = len(self.answers)
                    group = self._chunks[at : at + self._random.randint(1, 8)]
                    self.answers += self._client.append(self.session, group, at).chunks
        except Exception as error:  # noqa: BLE001 - reported by the main thread
            self.failure = error


def read(victim: Victim, chunks: list[str], kills: int, seed: int) -> tuple[Reader, int]:
    """Read a book while the service is killed at random points; return the reader and the processes killed."""
    rng = random.Random(seed)  # noqa: S311 - kill points are no secret
    reader = Reader(victim.url, chunks, seed)
    points = sorted(rng.sample(range(1, len(chunks) - 1), kills))
    reader.start()
    killed = 0
    for point in points:
        while len(reader.answers) < point and reader.is_alive():
            time.sleep(0.002)
        time.sleep(rng.random() * 0.3)
        killed += victim.kill_and_start()
    reader.join()
    return reader, killed


def main(
    kills: Annotated[int, typer.Option()] = 10,
    chunks: Annotated[int, typer.Option()] = 400,
    seed: Annotated[int, typer.Option()] = 1,
) -> None:
    """Run the comparison and report."""
    text = list(split_text(book_text(None), 1000))[200 : 200 + chunks]
    victim = Victim(Path(tempfile.mkdtemp(prefix="longstream-crashes-")))
    try:
        calm, _ = read(victim, text, 0, seed + 1)
        hurt, killed = read(victim, text, kills, seed)
        if calm.failure or hurt.failure:
            raise SystemExit(f"the client gave up: {calm.failure or hurt.failure!r}")
        expected, got = (
            np.stack([answer.embedding for answer in one.answers]) for one in (calm, hurt)
        )
        with LongstreamClient(victim.url, client_api_key()) as client:
            states = [client.session(one.session) for one in (calm, hurt)]
            documents = [client.document(one.session).embedding for one in (calm, hurt)]
    finally:
        victim.stop()
    sequence = [answer.seq for answer in hurt.answers]
    missing, double = len(text) - len(set(sequence)), len(sequence) - len(set(sequence))
    difference = float(np.abs(expected - got).max())
    difference = max(difference, float(np.abs(documents[0] - documents[1]).max()))
    report = {
        "kills": kills,
        "processes_killed": killed,
        "ready_after_s": victim.ready_after_s,
        "chunks": len(text),
        "missing": missing,
        "double": double,
        "replayed": sum(answer.replayed for answer in hurt.answers),
        "chunks_in_store": [state.next_seq for state in states],
        "tokens_in_store": [state.tokens for state in states],
        "max_difference": difference,
    }
    typer.echo(json.dumps(report, indent=1))
    same = states[0].next_seq == states[1].next_seq and states[0].tokens == states[1].tokens
    if missing or double or not same or difference > TOLERANCE:
        raise SystemExit(1)


if __name__ == "__main__":
    typer.run(main)
