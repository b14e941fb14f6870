"""`python -m models.fit.recall --texts DIR --run DIR`: train a recall head on a frozen base, or go on with a run.

`DIR` holds sets as `SET/train/docs.jsonl`; facts, questions and other numbers are made up and put into their passages.
The base encodes everything once, into `encoded.pt` of the run's folder; after that an epoch is seconds.
"""

import json
import random
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Final

import torch
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from models.config import DEFAULT_WEIGHTS
from models.errors import ModelError, TextError
from models.fit.recall_documents import NAMED_FORMS, Material
from models.fit.recall_encoding import NumberReader, sentences_of, statements, surrounded
from models.fit.recall_recipe import Amounts, RecallRecipe
from models.fit.recall_texts import Fact, Sentence, Sentences
from models.fit.recall_trainer import RecallTrainer
from models.loading import WITHOUT, LoadedEncoder, load_encoder, use_threads
from models.recall import NumberPieces, RecallHead, RecallOptions, save_recall

_DIGIT: Final = re.compile(r"\d")


def fit(  # noqa: PLR0913, PLR0917 - one parameter per option of the command
    texts: Annotated[Path, typer.Option(help="Folder of sets, `SET/train/docs.jsonl`.")],
    run: Annotated[Path, typer.Option(help="Folder of the run; one that has begun goes on.")],
    weights: Annotated[str, typer.Option(help="Base.")] = DEFAULT_WEIGHTS,
    seed: Annotated[int, typer.Option(help="Seed of all draws.")] = 0,
    device: Annotated[str, typer.Option(help="`cpu`, `cuda`, ...")] = "cpu",
    threads: Annotated[int | None, typer.Option(help="Torch threads on a CPU.")] = None,
    minutes: Annotated[float | None, typer.Option(help="Stop after so long.")] = None,
    steps: Annotated[int | None, typer.Option(help="Instead of the recipe's.")] = None,
) -> None:
    """Train a recall head and write it into the run's folder."""
    if threads:
        use_threads(threads)
    until = time.monotonic() + 60 * minutes if minutes is not None else float("inf")
    torch.manual_seed(seed)
    base = load_encoder("multi-head", weights, adapter=WITHOUT)
    head = RecallHead(
        RecallOptions(window=base.tokenizer.max_tokens), NumberPieces.of(base.tokenizer)
    )
    recipe = replace(RecallRecipe(), steps=steps or RecallRecipe().steps)
    base.encoder.to(device)
    amounts = Amounts()
    material = encoded(base, head, texts, run, amounts, seed)
    trainer = RecallTrainer(head.to(device), material, recipe, run, seed)
    _train(trainer, recipe.steps, until)
    save_recall(head, base.base_sha256, run / "recall.safetensors")
    described = {
        "command": f"python -m models.fit.recall --texts DIR --run {run} --seed {seed}",
        "device": device,
        "seed": seed,
        "steps": trainer.step,
        "recipe": asdict(recipe),
        "amounts": asdict(amounts),
        "facts": len(material.facts),
        "statements": len(material.stated.digits),
        "others": len(material.others.digits),
        "held_out": trainer.agreement(),
    }
    (run / "run.json").write_text(json.dumps(described, indent=2) + "\n", encoding="utf-8")
    typer.echo(json.dumps(described, indent=2))


def encoded(
    base: LoadedEncoder, head: RecallHead, texts: Path, run: Path, amounts: Amounts, seed: int
) -> Material:
    """Make up and encode all that is trained on, or take it from the run's folder.

    Raises:
        TextError: there are no chunks in `texts`.
    """
    file = run / "encoded.pt"
    if file.exists():
        found: Material = torch.load(file, weights_only=False)  # the run's own file
        return found
    draw = random.Random(seed)  # noqa: S311 - a reproducible sample, no secret
    fillers, passages = natural_text(texts, amounts, draw)
    sentences = Sentences(seed)
    stating, facts = statements(sentences, amounts.facts, fillers, draw)
    passages += [surrounded([sentences.other()], fillers, draw) for _ in range(amounts.others)]
    reader = NumberReader(base, head.options, head.pieces)
    questions = [text for fact in facts for text in _questions(sentences, fact)]
    material = Material(
        facts, reader.read(stating, facts), reader.read(passages, []), reader.ask(questions)
    )
    run.mkdir(parents=True, exist_ok=True)
    torch.save(material, file)
    return material


def natural_text(
    texts: Path, amounts: Amounts, draw: random.Random
) -> tuple[list[str], list[list[Sentence]]]:
    """Read the training chunks of every set.

    Returns:
        Sentences to put facts between, and chunks with digits in them, each a passage.

    Raises:
        TextError: there are no chunks, or a line has another shape.
    """
    fillers: list[str] = []
    passages: list[list[Sentence]] = []
    for file in sorted(texts.glob("*/train/docs.jsonl")):
        try:
            lines = file.read_text(encoding="utf-8").removesuffix("\n").split("\n")
            chunks = [chunk["text"] + "" for line in lines for chunk in json.loads(line)["chunks"]]
        except (ValueError, KeyError, TypeError) as error:
            raise TextError(f"{file}: lines must be documents of chunks: {error!r}") from error
        draw.shuffle(chunks)
        numbered = [chunk for chunk in chunks if _DIGIT.search(chunk)][: amounts.chunks]
        passages += [[Sentence(chunk, None)] for chunk in numbered]
        fillers += [s for chunk in chunks[: amounts.fillers] for s in sentences_of(chunk)]
    if not fillers:
        raise TextError(f"no SET/train/docs.jsonl with chunks in {texts}")
    return fillers, passages


def _questions(sentences: Sentences, fact: Fact) -> Sequence[str]:
    """Ask for a fact in every form that `models.fit.recall_documents` draws from."""
    named = [sentences.question(fact) for _ in range(NAMED_FORMS)]
    return [*named, sentences.question(fact, by_name=False)]


def _train(trainer: RecallTrainer, steps: int, until: float) -> None:
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("recall", total=steps, completed=trainer.step)

        def report(step: int, losses: Mapping[str, float]) -> None:
            figures = "  ".join(f"{name} {value:.4g}" for name, value in losses.items())
            bar.update(task, completed=step, description=f"recall  {figures}")

        trainer.run(until, report)


def main() -> None:
    """Run the command; what a user can mend is one line."""
    try:
        typer.run(fit)
    except ModelError as error:
        raise SystemExit(f"fit: {error}") from error


if __name__ == "__main__":
    main()
