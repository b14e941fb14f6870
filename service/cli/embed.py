"""`longstream embed`: every chunk of a text of any length, with what came before in its vector."""

import sys
from io import BufferedIOBase
from pathlib import Path
from typing import Annotated, Final, TextIO, cast

import typer

from service.cli.options import DEFAULT_URL, ServiceUrl

_SUFFIXES: Final = (".jsonl", ".npy", ".parquet")
_STANDARD_INPUT: Final = "-"


def embed(  # noqa: PLR0913 - typer reads the options from the parameters
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="UTF-8 text to read, or - for standard input.")
    ],
    *,
    model: Annotated[str, typer.Option(help="Model with a memory.")] = "infini",
    session: Annotated[
        str | None,
        typer.Option(
            metavar="ID", help="Session to read into.", show_default="derived from the job"
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="PATH",
            help="Where to write: .jsonl, .npy or .parquet.",
            show_default="FILE.jsonl, here",
        ),
    ] = None,
    chunk_chars: Annotated[
        int, typer.Option(min=1, max=65_536, help="Longest chunk, in characters.")
    ] = 1000,
    batch: Annotated[int, typer.Option(min=1, max=256, help="Chunks in one request.")] = 8,
    url: ServiceUrl = DEFAULT_URL,
    retry_for: Annotated[
        float | None,
        typer.Option(
            min=0,
            metavar="SECONDS",
            help="How long to wait for a lost service.",
            show_default="15 until it has answered, then 300",
        ),
    ] = None,
    keep_session: Annotated[
        bool,
        typer.Option("--keep-session/--delete", help="What becomes of the session at the end."),
    ] = True,
) -> None:
    """Embed a text chunk by chunk; run again after an interruption and it goes on where it was."""
    from service.cli.embedding.command import perform  # noqa: PLC0415 - commands import when run
    from service.cli.embedding.job import Job  # noqa: PLC0415

    job = Job(
        source=_source(file),
        output=_checked_output(file, output),
        model=model,
        session=session,
        chunk_chars=chunk_chars,
        batch=batch,
        keep_session=keep_session,
    )
    code = perform(job, url, retry_for)
    if code:
        raise typer.Exit(code)


def _source(file: str) -> Path | BufferedIOBase:
    if file != _STANDARD_INPUT:
        return Path(file)
    # A process that was started without standard input has None here, which its type leaves out.
    stream = cast("TextIO | None", sys.stdin)
    if stream is None:
        raise typer.BadParameter("standard input is closed", param_hint="FILE")
    # A binary standard stream is buffered, which its declared type leaves out too.
    return cast("BufferedIOBase", stream.buffer)


def _checked_output(file: str, output: Path | None) -> Path:
    """Return where to write; a path that cannot be meant is a usage error."""
    if output is None:
        name = "stdin" if file == _STANDARD_INPUT else Path(file).name
        output = Path(f"{name}.jsonl")
    if output.suffix not in _SUFFIXES:
        raise _wrong_output(
            f"{output}: the format is chosen by the suffix, one of {', '.join(_SUFFIXES)}"
        )
    if output.is_dir():
        raise _wrong_output(f"{output} is a directory")
    if not output.parent.is_dir():
        raise _wrong_output(f"{output}: there is no directory {output.parent}")
    if file != _STANDARD_INPUT and Path(file).resolve() in _written(output):
        raise _wrong_output(f"{output} would overwrite the text itself, {file}")
    return output


def _written(output: Path) -> list[Path]:
    """Return all files that a run writes: the output, its journal and its draft."""
    names = [output.name, f"{output.name}.part", f"{output.name}.tmp"]
    return [output.with_name(name).resolve() for name in names]


def _wrong_output(message: str) -> typer.BadParameter:
    return typer.BadParameter(message, param_hint="--output")
