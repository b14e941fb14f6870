"""`python -m models.fit VARIANT --texts DIR`: train a variant's adapter, or go on where a run was stopped."""

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from models.config import DEFAULT_WEIGHTS, AttentionOptions
from models.errors import ModelError
from models.fit.batches import Batches, TrainingText
from models.fit.pairs import Pairs, read_pairs
from models.fit.recipes import RECIPES, Recipe
from models.fit.texts import read_texts
from models.fit.trainer import Progress as Standing
from models.fit.trainer import Trainer
from models.loading import WITHOUT, load_encoder, use_threads
from models.tokenizer import Tokenizer
from models.weights import AdapterHeader, save_adapter


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
    start: Annotated[
        Path | None, typer.Option(help="Adapter to begin with: no warm-up, sentence vectors only.")
    ] = None,
    tokens: Annotated[int | None, typer.Option(help="Instead of the recipe's.")] = None,
    rate: Annotated[float, typer.Option(help="Times the recipe's learning rates.")] = 1.0,
) -> None:
    """Train a variant's adapter beside the base model, and write it into the run's folder."""
    recipe = _recipe(variant, tokens, rate, started=start is not None)
    if threads:
        use_threads(threads)
    torch.manual_seed(seed)
    teacher = load_encoder("multi-head", weights, adapter=WITHOUT)
    student = load_encoder(variant, weights, adapter=str(start) if start else WITHOUT)
    text = _training_text(recipe, texts, teacher.tokenizer, seed)
    typer.echo(f"{text.tokens:,} tokens of training text", err=True)
    trainer = Trainer(student.encoder.to(device), teacher.encoder.to(device), text, recipe, run)
    _train(
        trainer, variant, time.monotonic() + 60 * minutes if minutes is not None else float("inf")
    )
    header = AdapterHeader(variant, teacher.base_sha256, AttentionOptions().score)
    save_adapter(trainer.parameters, header, run / f"{variant}.safetensors")
    described = {
        "command": _command(variant, run, seed, {"start": start, "tokens": tokens, "rate": rate}),
        "device": device,
        "seed": seed,
        "text_tokens": text.tokens,
        "steps": trainer.step,
        "recipe": asdict(recipe),
        "held_out": trainer.agreement(),
    }
    (run / "run.json").write_text(json.dumps(described, indent=2) + "\n", encoding="utf-8")
    typer.echo(json.dumps(described, indent=2))


def _recipe(variant: str, tokens: int | None, rate: float, *, started: bool) -> Recipe:
    if variant not in RECIPES:
        raise typer.BadParameter(f"no recipe for {variant!r}; known: {', '.join(RECIPES)}")
    recipe = RECIPES[variant]
    if (
        started
    ):  # what a first run has aligned need not be watched again, and costs a third of the time
        recipe = replace(recipe, warm_up_tokens=0, layers=0.0, relations=0.0)
    return replace(
        recipe,
        tokens=tokens or recipe.tokens,
        matrix_rate=rate * recipe.matrix_rate,
        other_rate=rate * recipe.other_rate,
    )


def _command(variant: str, run: Path, seed: int, changes: Mapping[str, object]) -> str:
    """Return the command that gives this run again."""
    options = "".join(
        f" --{name} {value}" for name, value in changes.items() if value not in (None, 1.0)
    )
    return f"python -m models.fit {variant} --texts DIR --run {run} --seed {seed}{options}"


def _training_text(
    recipe: Recipe, sources: list[Path], tokenizer: Tokenizer, seed: int
) -> TrainingText:
    if recipe.pairs:
        return Pairs(read_pairs(sources), tokenizer, recipe.pairs, seed)
    return Batches(read_texts(sources), tokenizer, recipe.step_tokens, seed)


def _train(trainer: Trainer, variant: str, until: float) -> None:
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(variant, total=trainer.steps, completed=trainer.step)

        def report(at: Standing) -> None:
            figures = "  ".join(f"{name} {value:.4g}" for name, value in at.figures.items())
            bar.update(task, completed=at.step, description=f"{variant}  {figures}")

        trainer.run(until, report=report)


def main() -> None:
    """Run the command; what a user can mend is one line."""
    try:
        typer.run(fit)
    except ModelError as error:
        raise SystemExit(f"fit: {error}") from error


if __name__ == "__main__":
    main()
