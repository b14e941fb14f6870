"""`python -m models.fit.context VARIANT --data DIR --run RUN`: train what acts behind a memory, or go on with it."""

import json
import math
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from torch import nn

from models.config import DEFAULT_WEIGHTS, AttentionOptions
from models.errors import ModelError
from models.evaluate.data import RetrievalSet
from models.fit.context.draws import Draws
from models.fit.context.objectives import OverStates, ThroughEncoder
from models.fit.context.recipes import (
    CONTEXT_RECIPES,
    HIDDEN,
    LONGEST,
    WEIGHTS,
    Stage,
    rate_of,
)
from models.fit.context.sets import hide_topics, read_training_sets, shorten
from models.fit.context.states import States
from models.fit.context.trainer import ContextTrainer, Objective
from models.loading import WITHOUT, LoadedEncoder, load_encoder, use_threads
from models.weights import AdapterHeader, adapter_parameters, published_names, save_adapter


def fit(  # noqa: PLR0913, PLR0917 - one parameter per option of the command
    variant: Annotated[str, typer.Argument(help=f"One of: {', '.join(CONTEXT_RECIPES)}.")],
    data: Annotated[
        list[Path], typer.Option(help="Folder of sets with `train` splits; may be given again.")
    ],
    run: Annotated[Path, typer.Option(help="Folder of the run; one that has begun goes on.")],
    weights: Annotated[str, typer.Option(help="Base.")] = DEFAULT_WEIGHTS,
    seed: Annotated[int, typer.Option(help="Seed of all draws.")] = 0,
    device: Annotated[str, typer.Option(help="`cpu`, `cuda`, ...")] = "cpu",
    threads: Annotated[int | None, typer.Option(help="Torch threads on a CPU.")] = None,
    minutes: Annotated[float | None, typer.Option(help="Stop after so long.")] = None,
) -> None:
    """Train a variant's memory on documents and queries, and write its adapter into the run's folder."""
    if variant not in CONTEXT_RECIPES:
        known = ", ".join(CONTEXT_RECIPES)
        raise typer.BadParameter(f"no recipe for {variant!r}; known: {known}")
    recipe = CONTEXT_RECIPES[variant]
    if threads:
        use_threads(threads)
    options = AttentionOptions(
        gate_logit=recipe.gate_logit,
        memory_from=recipe.memory_from,
        memory_rank=recipe.memory_rank,
    )
    model = load_encoder(variant, weights, options, adapter=WITHOUT)
    model.encoder.to(device)
    sets = _training_sets(data, seed)
    until = time.monotonic() + 60 * minutes if minutes is not None else math.inf
    done = True
    if recipe.attention:
        done = _attention(model, sets, recipe.attention, run, seed, until)
    if done and recipe.reader:
        done = _reader(model, sets, recipe.reader, run, seed, until)
    if not done:
        typer.echo("stopped before the end; the same command goes on", err=True)
        return
    header = AdapterHeader(
        variant, model.base_sha256, options.score, recipe.memory_from, recipe.memory_rank
    )
    save_adapter(trained_parameters(model), header, run / f"{variant}.safetensors")
    described = {
        "command": f"python -m models.fit.context {variant} --data DIR --run {run} --seed {seed}",
        "device": device,
        "seed": seed,
        "sets": {kept.name: kept.sources for kept in sets},
        "recipe": asdict(recipe),
    }
    (run / "run.json").write_text(json.dumps(described, indent=2) + "\n", encoding="utf-8")
    typer.echo(json.dumps(described, indent=2))


def trained_parameters(model: LoadedEncoder) -> Mapping[str, nn.Parameter]:
    """Return what acts behind a non-empty memory: gates, the memory's own projections, the reader."""
    base = set(published_names(model.encoder.config.layers))
    return {
        name: parameter
        for name, parameter in adapter_parameters(model.encoder).items()
        if name not in base
    }


def _training_sets(data: list[Path], seed: int) -> list[RetrievalSet]:
    sets = [shorten(kept, LONGEST) for kept in read_training_sets(data)]
    copies = [hide_topics(kept, seed) for kept in sets if kept.name in HIDDEN]
    return [*sets, *(copy for copy in copies if copy is not None)]


def _attention(
    model: LoadedEncoder,
    sets: list[RetrievalSet],
    stage: Stage,
    run: Path,
    seed: int,
    until: float,
) -> bool:
    """Train the memory inside the layers; the reader, which is not trained yet, stays off."""
    reader, model.encoder.reader = model.encoder.reader, None
    draws = Draws(sets, WEIGHTS, stage.documents, stage.chunks, seed, stage.before)
    objective = ThroughEncoder(model, draws, stage, trained_parameters(model))
    done = _train("attention", objective, stage, run, until)
    model.encoder.reader = reader
    return done


def _reader(
    model: LoadedEncoder,
    sets: list[RetrievalSet],
    stage: Stage,
    run: Path,
    seed: int,
    until: float,
) -> bool:
    """Train the reader over the states of layers that do not change."""
    model.encoder.requires_grad_(requires_grad=False)
    parameters = {n: p for n, p in trained_parameters(model).items() if n.startswith("reader.")}
    states = States(model, {kept.name: kept for kept in sets})
    draws = Draws(sets, WEIGHTS, stage.documents, stage.chunks, seed, stage.before)
    objective = OverStates(model, draws, stage, parameters, states)
    return _train("reader", objective, stage, run, until)


def _train(name: str, objective: Objective, stage: Stage, run: Path, until: float) -> bool:
    rates = {parameter: rate_of(parameter, stage) for parameter in objective.parameters}
    trainer = ContextTrainer(objective, stage.steps, rates, run / name)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(name, total=stage.steps, completed=trainer.step)

        def report(step: int, figures: Mapping[str, float]) -> None:
            shown = "  ".join(f"{key} {value:.3g}" for key, value in figures.items())
            bar.update(task, completed=step, description=f"{name}  {shown}")

        trainer.run(until, report=report)
    return trainer.step == stage.steps


def main() -> None:
    """Run the command; what a user can mend is one line."""
    try:
        typer.run(fit)
    except ModelError as error:
        raise SystemExit(f"fit: {error}") from error


if __name__ == "__main__":
    main()
