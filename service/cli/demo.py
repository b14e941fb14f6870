"""`longstream demo`: start the service, stream a book through an Infini-attention session, ask it something."""

from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer

BOOK = "war_and_peace.txt"
QUESTION = "Why does Prince Andrew look at the sky?"


def demo(
    book: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="UTF-8 text; default: War and Peace."),
    ] = None,
    question: Annotated[str, typer.Option(help="What to look for in the book.")] = QUESTION,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave the service running afterwards.")
    ] = False,
) -> None:
    """Start the service, stream a book through a session, and show what came back."""
    # Commands import when they run.
    from rich.console import Console  # noqa: PLC0415

    from service.cli.demo_reading import read_book  # noqa: PLC0415
    from service.cli.demo_report import passages, summary  # noqa: PLC0415
    from service.cli.demo_service import RunningService  # noqa: PLC0415
    from service.client import LongstreamClient  # noqa: PLC0415

    console = Console()
    text = (
        book.read_text("utf-8") if book else files("service.demo").joinpath(BOOK).read_text("utf-8")
    )
    name = book.name if book else BOOK
    service = RunningService.start(console.print)
    try:
        with LongstreamClient(service.url) as client:
            reading = read_book(client, text, console)
            console.print(summary(name, reading))
            console.print(passages(client, question, text, reading))
        console.print(f"dashboard  {service.url}/")
        console.print(f"metrics    {service.url}/metrics")
    except BaseException:
        service.stop()
        raise
    if keep:
        console.print(f"The service keeps running; stop it with: kill {service.pid}")
        return
    console.print("Stopping the service; `make demo KEEP=1` leaves it running.")
    service.stop()
