"""`longstream demo`: start the service, stream a book through an Infini-attention session, ask it something."""

import signal
import sys
from importlib.resources import files
from pathlib import Path
from types import FrameType
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
    import tempfile  # noqa: PLC0415

    from rich.console import Console  # noqa: PLC0415

    from service.cli.child_service import ChildService  # noqa: PLC0415
    from service.cli.demo_reading import MODEL  # noqa: PLC0415
    from service.cli.demo_report import show  # noqa: PLC0415
    from service.config import load_config  # noqa: PLC0415
    from service.deployments.address import claim_port  # noqa: PLC0415
    from service.errors import ConfigError  # noqa: PLC0415

    console = Console()
    name, text = _read(book)
    try:
        claim, port = claim_port("127.0.0.1", load_config().port)
    except ConfigError:  # taken: the demo needs a service of its own
        claim, port = claim_port("127.0.0.1", 0)
    claim.close()
    log = Path(tempfile.mkdtemp(prefix="longstream-demo-")) / "service.log"
    console.print(f"starting the service, its log is {log}")
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)
    # Another variant is another process that loads torch: one that goes away again starts only the one it asks.
    service = ChildService.start(port, log, models=None if keep else MODEL)
    kept = False
    try:
        console.print(f"ready after {service.ready_s:.0f} s at {service.url}")
        show(service.url, name, text, question, console)
        console.print(f"dashboard  {service.url}/")
        console.print(f"metrics    {service.url}/metrics")
        kept = keep
    finally:
        if not kept:
            console.print("stopping the service; --keep (make demo KEEP=1) leaves it running")
            service.stop()
    if kept:
        console.print(f"the service keeps running; stop it with: kill {service.process.pid}")


def _read(book: Path | None) -> tuple[str, str]:
    """Return a book's name and text."""
    try:
        source = book or files("service.demo").joinpath(BOOK)
        text = source.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise typer.BadParameter(f"{book} is not UTF-8 at byte {error.start}") from error
    if not text.strip():
        raise typer.BadParameter(f"{book} is empty")
    return (book.name if book else BOOK), text


def _leave(number: int, _frame: FrameType | None) -> None:
    """End in order on SIGTERM and SIGHUP, so that the service is stopped too."""
    sys.exit(128 + number)
