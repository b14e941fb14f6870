"""`longstream evaluate-context`: what a memory of the document is worth to the vectors of its chunks."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli.context_plan import ContextOptions, context_plan
from service.cli.progress import Bar

if TYPE_CHECKING:
    from models.evaluate.context import ContextReport


def evaluate_context(  # noqa: PLR0913 - typer reads the options from the parameters
    *,
    data: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder of sets: DIR/SET/SPLIT/{docs,queries}.jsonl."),
    ] = None,
    sets: Annotated[
        str, typer.Option(metavar="SETS", help="Sets by name, or by path (with a slash in it).")
    ] = "squad_dev,squad_anaphora,peps,fairytaleqa,qmsum,covidqa,evidence_inference",
    split: Annotated[str, typer.Option(help="Split of the sets in DIR.")] = "dev",
    half: Annotated[
        str, typer.Option(help="Documents to report: report, selection (weights' own) or all.")
    ] = "report",
    model: Annotated[
        list[str] | None,
        typer.Option(metavar="ATTENTION", help="Model with memory; may be repeated."),
    ] = None,
    adapter: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ATTENTION=FILE", help="Instead of its own; repeat it for several seeds."
        ),
    ] = None,
    second_look: Annotated[
        bool, typer.Option("--second-look", help="Read chunks again with the whole document.")
    ] = False,
    position: Annotated[
        bool, typer.Option("--position", help="Gain after 0, 5k, 20k and 100k tokens of others.")
    ] = False,
    far: Annotated[
        bool, typer.Option("--far", help="With --position, after 500k tokens too.")
    ] = False,
    weights: Annotated[
        str | None, typer.Option(help="Checkpoint.", show_default="all-MiniLM-L6-v2")
    ] = None,
    limit_docs: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Read only the first N documents of each set."),
    ] = None,
    bf16: Annotated[
        bool, typer.Option("--bf16", help="Multiply in bfloat16: faster where the machine can.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Of resampling and draws.")] = 0,
    device: Annotated[str, typer.Option(help="cpu, or a device of torch.")] = "cpu",
    threads: Annotated[
        int | None, typer.Option(min=1, help="Torch threads.", show_default="torch's own")
    ] = None,
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Where report.json, .md and .png go.")
    ] = Path("evaluation/context"),
) -> None:
    """Evaluate contextual chunk vectors in retrieval, beside everything that is cheaper.

    Runs in this process and is the same in every run.
    """
    from models.errors import ModelError  # noqa: PLC0415 - commands import when they run
    from models.evaluate.plot import require_matplotlib  # noqa: PLC0415
    from service.errors import ConfigError  # noqa: PLC0415

    asked = ContextOptions(
        data=data,
        sets=sets,
        split=split,
        half=half,
        model=tuple(model or ()),
        adapter=tuple(adapter or ()),
        second_look=second_look,
        position=position,
        far=far,
        weights=weights,
        limit_docs=limit_docs,
        bf16=bf16,
        seed=seed,
        device=device,
        threads=threads,
    )
    try:
        require_matplotlib()  # before the work, not after it
        out.mkdir(parents=True, exist_ok=True)
        report, text = _perform(asked)
        _write(report, text, out)
    except ModelError as error:
        raise ConfigError(str(error)) from error
    except OSError as error:
        raise ConfigError(f"--out {error.filename or out}: {error.strerror or error}") from error
    typer.echo(text, nl=False)


def _perform(asked: ContextOptions) -> "tuple[ContextReport, str]":
    """Evaluate; return the report, and the same as Markdown.

    Raises:
        ConfigError: an option has no such value.
        ModelError: weights or sets do not fit, or a result cannot be trusted.
    """
    from dataclasses import replace  # noqa: PLC0415

    from rich.console import Console  # noqa: PLC0415
    from rich.progress import Progress  # noqa: PLC0415

    from models.evaluate.context import evaluate_context as run  # noqa: PLC0415
    from models.evaluate.context.markdown import as_markdown  # noqa: PLC0415
    from models.loading import use_threads  # noqa: PLC0415

    if asked.threads is not None:
        use_threads(asked.threads)
    plan = context_plan(asked)
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        report = run(plan, Bar(progress))
    return replace(report, command=asked.as_dict()), as_markdown(report, asked.command())


def _write(report: "ContextReport", text: str, out: Path) -> None:
    from models.evaluate.context.plot import draw  # noqa: PLC0415

    (out / "report.json").write_text(report.as_json(), encoding="utf-8")
    (out / "report.md").write_text(text, encoding="utf-8")
    draw(report, out / "report.png")
