"""Streaming one book through one session, measured on the way."""

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from service.client import LongstreamClient, StreamChunk

MODEL = "infini"
EARLY = 0.1
"""Share of the text after which the first memory reading is taken."""


@dataclass(frozen=True, slots=True)
class BookReading:
    """A book, read.

    Attributes:
        session_id: The session, still open.
        vectors: float32, (chunks, dimensions), unit length.
        ranges: Where each chunk lies in the text, in code points.
        tokens: Content tokens.
        seconds: From the first byte sent to the last answer.
        state_bytes: Bytes of the stored state after the first chunk and at the end.
        replica_bytes: Resident memory of the encoder replica at 10% and at 100% of the text.
    """

    session_id: str
    vectors: NDArray[np.float32]
    ranges: list[tuple[int, int]]
    tokens: int
    seconds: float
    state_bytes: tuple[int, int]
    replica_bytes: tuple[int, int]


def read_book(client: LongstreamClient, text: str, console: Console) -> BookReading:
    """Stream a text through a new session, with a progress bar."""
    session = client.create_session(MODEL)
    chunks: list[StreamChunk] = []
    early_bytes, first_state, tokens = 0, 0, 0
    begun = time.monotonic()
    columns = (
        TextColumn("reading"),
        BarColumn(),
        TextColumn("{task.percentage:3.0f}%  {task.fields[speed]} tokens/s"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("reading", total=len(text), speed="0")
        for event in client.stream(session.id, text, first_seq=0):
            if not isinstance(event, StreamChunk):
                continue
            chunks.append(event)
            tokens += event.chunk.tokens
            speed = f"{tokens / (time.monotonic() - begun):,.0f}"
            progress.update(task, completed=event.text_end, speed=speed)
            if not first_state:
                first_state = client.session(session.id).state_bytes
            if not early_bytes and event.text_end >= EARLY * len(text):
                early_bytes = replica_bytes(client.metrics(), MODEL)
    return BookReading(
        session_id=session.id,
        vectors=np.stack([event.chunk.embedding for event in chunks]),
        ranges=[(event.text_start, event.text_end) for event in chunks],
        tokens=tokens,
        seconds=time.monotonic() - begun,
        state_bytes=(first_state, client.session(session.id).state_bytes),
        replica_bytes=(early_bytes, replica_bytes(client.metrics(), MODEL)),
    )


def replica_bytes(exposition: str, model: str) -> int:
    """Return the resident bytes of a model's replica in a Prometheus exposition; the largest if there are several."""
    values = [
        sample.value
        for family in text_string_to_metric_families(exposition)
        for sample in family.samples
        if sample.name == "longstream_process_resident_memory_bytes"
        and sample.labels["replica"].rpartition("-")[0] == f"encoder-{model}"
    ]
    return int(max(values, default=0))
