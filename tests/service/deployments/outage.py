"""Stop the Redis server of a running service for a while, and count what its clients saw and what was lost.

    python -m tests.service.deployments.outage [--seconds 8] [--model infini]

Starts its own Redis server and its own service. One client appends without retries, another asks for stateless
vectors. Exits with 1 if an append failed with anything but 503 and `Retry-After`, if one took longer than 2.5 seconds
to fail, if a stateless call failed, or if anything acknowledged is missing afterwards.
"""

import json
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer

from service.cli.child_service import HOST, ChildService
from service.deployments.address import claim_port
from tests.redis_server import RedisProcess

SLOWEST_S = 2.5


class Appending(threading.Thread):
    """Appends one chunk after another, and asks again for what failed."""

    def __init__(self, url: str, model: str) -> None:
        super().__init__(daemon=True)
        self._http = httpx.Client(base_url=url, timeout=30)
        created = self._http.post("/v1/sessions", json={"model": model})
        self.session = created.raise_for_status().json()["id"]
        self.answers: list[dict[str, Any]] = []
        self.refused: Counter[str] = Counter()
        self.slowest_refusal_s = 0.0
        self.stop = threading.Event()

    def run(self) -> None:
        """Append until it is stopped."""
        while not self.stop.is_set():
            began = time.monotonic()
            answer = self.append(len(self.answers))
            if answer.status_code == httpx.codes.OK:
                self.answers.append(answer.json()["chunks"][0])
                continue
            took = time.monotonic() - began
            self.slowest_refusal_s = max(self.slowest_refusal_s, took)
            advised = "retry-after" in answer.headers
            self.refused[f"{answer.status_code} retry-after={advised}"] += 1
            time.sleep(0.2)

    def append(self, seq: int) -> httpx.Response:
        """Send a chunk under its number, once."""
        body = {"first_seq": seq, "chunks": [f"This is sentence number {seq} of a long report."]}
        return self._http.post(f"/v1/sessions/{self.session}/chunks", json=body)

    def lost(self) -> list[int]:
        """Return what was acknowledged and is not what comes back now."""
        return [
            seq
            for seq, answer in enumerate(self.answers)
            if self.append(seq).json()["chunks"][0] != answer | {"replayed": True}
        ]


class Embedding(threading.Thread):
    """Asks for stateless vectors."""

    def __init__(self, url: str, model: str) -> None:
        super().__init__(daemon=True)
        self._http = httpx.Client(base_url=url, timeout=30)
        self._body = {"model": model, "input": "Where is the harbour?"}
        self.codes: Counter[int] = Counter()
        self.stop = threading.Event()

    def run(self) -> None:
        """Ask until it is stopped."""
        while not self.stop.is_set():
            self.codes[self._http.post("/v1/embeddings", json=self._body).status_code] += 1
            time.sleep(0.05)


def watch(url: str, server: RedisProcess, model: str, seconds: float) -> dict[str, Any]:
    """Let both clients work, stop the server in the middle, and return what was seen."""
    appending, embedding = Appending(url, model), Embedding(url, model)
    appending.start()
    embedding.start()
    time.sleep(seconds)
    before, asked = len(appending.answers), embedding.codes.total()
    server.pause()
    time.sleep(seconds)
    during, asked_during = len(appending.answers) - before, embedding.codes.total() - asked
    server.resume()
    resumed, so_far = time.monotonic(), len(appending.answers)
    while len(appending.answers) == so_far and time.monotonic() - resumed < 60:
        time.sleep(0.01)
    back_after_s = time.monotonic() - resumed
    time.sleep(seconds)
    for client in (appending, embedding):
        client.stop.set()
        client.join()
    return {
        "acknowledged": [before, during, len(appending.answers) - before - during],
        "refused": dict(appending.refused),
        "slowest_refusal_s": round(appending.slowest_refusal_s, 2),
        "back_after_s": round(back_after_s, 2),
        "stateless": dict(embedding.codes),
        "stateless_while_stopped": asked_during,
        "lost": appending.lost(),
    }


def main(
    seconds: Annotated[float, typer.Option()] = 8.0,
    model: Annotated[str, typer.Option()] = "infini",
) -> None:
    """Run it and report."""
    with tempfile.TemporaryDirectory(prefix="longstream-outage-") as name:
        folder = Path(name)
        with RedisProcess(folder / "redis") as server:
            config = folder / "config.yaml"
            config.write_text(f"sessions: {{store: '{server.url}'}}\n")
            claim, port = claim_port(HOST, 0)
            claim.close()
            service = ChildService.start(
                port, folder / "service.log", folder / "data", model, config
            )
            try:
                report = watch(service.url, server, model, seconds)
            finally:
                service.stop()
    typer.echo(json.dumps(report, indent=1))
    fine = (
        not report["lost"]
        and set(report["refused"]) <= {"503 retry-after=True"}
        and report["slowest_refusal_s"] <= SLOWEST_S
        and set(report["stateless"]) == {200}
        and report["stateless_while_stopped"] > 0
    )
    raise SystemExit(0 if fine else 1)


if __name__ == "__main__":
    typer.run(main)
