"""The `longstream` command.

Each command imports what it needs when it runs: `longstream --help` must not wait for torch.
"""

import sys
from typing import Annotated, NoReturn

import typer

from service.cli.attention import attention
from service.cli.check_config import check_config
from service.cli.demo import demo
from service.cli.embed import embed
from service.cli.evaluate import evaluate
from service.cli.evaluate_context import evaluate_context
from service.cli.keys import keys
from service.cli.models_ import models
from service.cli.serve import serve
from service.errors import ConfigError

app = typer.Typer(
    name="longstream",
    help="Read a document of any length, chunk by chunk, in constant memory.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("serve")(serve)
app.command("embed")(embed)
app.command("models")(models)
app.command("attention")(attention)
app.command("evaluate")(evaluate)
app.command("evaluate-context")(evaluate_context)
app.command("demo")(demo)
app.command("check-config")(check_config)
app.add_typer(keys)


def main() -> None:
    """Run the command line; what a user can mend is one line on stderr and exit code 1."""
    try:
        app()
    except ConfigError as error:
        _fail(error)
    except Exception as error:
        from service.client import LongstreamError  # noqa: PLC0415 - needed only if a command failed

        if not isinstance(error, LongstreamError):
            raise
        _fail(error)


def _fail(error: Exception) -> NoReturn:
    sys.stderr.write(f"longstream: {error}\n")
    sys.exit(1)


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version  # noqa: PLC0415 - reads files

        typer.echo(f"longstream {version('longstream')}")
        raise typer.Exit


@app.callback()
def _root(
    *,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Options that stand before the command."""
