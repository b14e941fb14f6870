"""What the demo prints about a book it has read."""

from rich.console import Console
from rich.table import Table

from service.cli.demo_reading import MODEL, BookReading, read_book
from service.client import LongstreamClient
from service.config import client_api_key

NEAREST = 3
SHOWN_CHARS = 400
MEBIBYTE = 1024**2


def show(url: str, name: str, text: str, question: str, console: Console) -> None:
    """Read a text through a session of the service at `url` and print what came back."""
    with LongstreamClient(url, client_api_key()) as client:
        reading = read_book(client, text, console)
        console.print(summary(name, reading))
        console.print(passages(client, question, text, reading))


def summary(name: str, reading: BookReading) -> Table:
    """Return the figures of a reading as a table."""
    table = Table(title=name, show_header=False, title_justify="left")
    table.add_column(style="bold")
    table.add_column(justify="right")
    first_state, last_state = reading.state_bytes
    early, late = (size / MEBIBYTE for size in reading.replica_bytes)
    for row in (
        ("session", reading.session_id),
        ("chunks", f"{len(reading.ranges):,}"),
        ("tokens", f"{reading.tokens:,}"),
        ("tokens/s", f"{reading.tokens / reading.seconds:,.0f}"),
        ("state after the first chunk", f"{first_state:,} bytes"),
        ("state at the end", f"{last_state:,} bytes"),
        ("replica memory at 10%", f"{early:,.1f} MiB"),
        ("replica memory at 100%", f"{late:,.1f} MiB"),
    ):
        table.add_row(*row)
    return table


def passages(client: LongstreamClient, question: str, text: str, reading: BookReading) -> Table:
    """Return the passages whose vectors are nearest to the question's, by cosine."""
    query = client.embed([question], MODEL).vectors[0]
    cosines = reading.vectors @ query
    nearest = cosines.argsort()[::-1][:NEAREST]
    table = Table(title=f"nearest to: {question}", title_justify="left", show_lines=True)
    table.add_column("chunk", justify="right")
    table.add_column("cosine", justify="right")
    table.add_column("passage")
    for chunk in nearest:
        start, end = reading.ranges[chunk]
        passage = " ".join(text[start:end].split())
        shown = passage if len(passage) <= SHOWN_CHARS else passage[:SHOWN_CHARS] + " …"
        table.add_row(str(chunk), f"{cosines[chunk]:.3f}", shown)
    return table
