"""`longstream models`: what a running service serves."""

from typing import TYPE_CHECKING

import typer

from service.cli.options import DEFAULT_URL, ServiceUrl

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.table import Table

    from service.client import Model


def models(url: ServiceUrl = DEFAULT_URL) -> None:
    """List the models of a running service."""
    from rich.console import Console  # noqa: PLC0415 - commands import when they run

    from service.client import LongstreamClient, LongstreamError, RetryPolicy  # noqa: PLC0415
    from service.config import client_api_key  # noqa: PLC0415

    try:
        with LongstreamClient(url, client_api_key(), retry=RetryPolicy(retry_for_s=0.0)) as client:
            served = client.models()
    except LongstreamError as error:
        typer.echo(f"longstream: {url}: {error}", err=True)
        raise typer.Exit(1) from error
    Console().print(_table(served))


def _table(served: "Iterable[Model]") -> "Table":
    from rich.table import Table  # noqa: PLC0415

    table = Table(box=None, pad_edge=False)
    for heading in ("model", "attention"):
        table.add_column(heading, no_wrap=True)
    for heading in ("width", "window", "memory"):
        table.add_column(heading, justify="right", no_wrap=True)
    for heading in ("fingerprint", "checkpoint"):
        table.add_column(heading, no_wrap=True)
    for model in served:
        memory = f"{model.memory_bytes / 1024:.0f} KiB" if model.memory_bytes else "none"
        table.add_row(
            model.id,
            model.attention,
            str(model.dimensions),
            f"{model.max_chunk_tokens} tokens",
            memory,
            model.fingerprint[:12],
            model.checkpoint or "-",
        )
    return table
