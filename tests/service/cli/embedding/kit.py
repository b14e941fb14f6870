"""What the tests of a run share."""

import dataclasses
import json
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import typer
from typer.testing import CliRunner, Result

from models.chunking import split_text
from service.cli.embed import embed
from service.cli.embedding.job import Job, Summary
from service.cli.embedding.run import run
from service.client import LongstreamClient, RetryPolicy
from tests.service.client.fake import FakeService, problem
from tests.service.client.vectors import vector_of

TEXT = "".join(f"Sentence number {n} of a short book. " for n in range(100))
BOOK = "".join(f"Sentence number {n} of a short book. " for n in range(400))
CHUNKS = list(split_text(TEXT, 100))


def perform(job: Job, service: FakeService, report: Any = lambda _status: None) -> Summary:
    retry = RetryPolicy(retry_for_s=2, first_wait_s=0.001, longest_wait_s=0.01)
    with LongstreamClient(transport=httpx.MockTransport(service), retry=retry) as client:
        return run(job, client, report, lambda: None)


def invoke(*arguments: object, text: str | None = None) -> Result:
    """Run the command in this process."""
    app = typer.Typer()
    app.command()(embed)
    return CliRunner().invoke(app, [str(argument) for argument in arguments], input=text)


def write_book() -> Path:
    """Put the book into a folder below the current one."""
    Path("texts").mkdir()
    path = Path("texts/book.txt")
    path.write_text(BOOK)
    return path


def expected() -> list[dict[str, Any]]:
    start = 0
    rows = []
    for seq, text in enumerate(CHUNKS):
        end = start + len(text.split())
        vector = vector_of(*CHUNKS[: seq + 1])
        rows.append((seq, text, vector.tolist(), end - start, start, end))
        start = end
    names = ["seq", "text", "embedding", "tokens", "token_start", "token_end"]
    return [dict(zip(names, row, strict=True)) for row in rows]


def rows_of(output: Path) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in output.read_text().splitlines()]
    for row in rows:
        row["embedding"] = np.array(row["embedding"], np.float32).tolist()
    return rows


def killed(_request: httpx.Request) -> httpx.Response:
    raise KeyboardInterrupt


def let_pass(_request: httpx.Request) -> None:
    return None


def interrupted(job: Job, service: FakeService) -> str:
    service.faults = [let_pass] * 5 + [killed]
    with pytest.raises(KeyboardInterrupt):
        perform(job, service)
    (name,) = service.sessions
    return name


def piped(job: Job, text: str) -> Job:
    return dataclasses.replace(job, source=BytesIO(text.encode()))


def limited(service: FakeService, body_bytes: int) -> None:
    """Make a service refuse larger bodies."""

    def refuse_large(request: httpx.Request) -> httpx.Response | None:
        if len(request.content) <= body_bytes:
            return None
        return problem(413, "payload_too_large", detail=f"larger than {body_bytes} bytes")

    service.faults = [refuse_large] * 10_000
