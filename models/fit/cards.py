"""`python -m models.fit.cards`: write the cards of the packaged adapters from an evaluation's report.

    python -m models.fit.cards --report evaluation/report.json --runs runs

Figures come from the report, how it was trained from the run's `run.json`; only the limits are written by hand.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import typer
import yaml

from models.checkpoints import FOLDER
from models.config import DEFAULT_WEIGHTS
from models.loading import WITHOUT, load_encoder
from models.variants import variants

LIMITS: Final[Mapping[str, str]] = {
    "self-attention": "One weight per pair of tokens does the work of twelve: short texts and rare words lose most.",
    "causal": "A token knows what came before it and nothing after. It is the baseline of `bidirectional`, not a "
    "recommendation.",
    "bidirectional": "Two softmax passes a layer: slower than `multi-head`, for nearly the same vectors.",
    "multi-head": "The base itself; nothing was trained.",
    "multi-head-weighted": "Only 72 numbers were trained, on the pairs of few domains.",
    "infini": "The memory never forgets: what is new is a smaller and smaller part of it. With an empty memory it is "
    "exactly `multi-head`: a text alone gains nothing from it.",
    "infini-plus": "The reader was trained on parts of at most 24 chunks; what it does beyond that was not trained. "
    "The recall head, which has a card of its own, keeps numbers alone. With an empty memory it is exactly "
    "`multi-head`: a text alone gains nothing from it.",
}
GENERAL_LIMITS: Final = (
    "English only (the base's vocabulary), segments of 256 tokens, mean pooling. It inherits what the base gets "
    "wrong."
)
TAUGHT_LIMITS: Final = (
    "It was taught by the base on the texts of DATA.md, and agrees with it less on other kinds of "
    "text."
)
REMEMBERING_LIMITS: Final = (
    "Its memory was trained to find chunks of a document by queries, on the sets above; other uses of a chunk's vector "
    "were not trained for. What it is worth beside what is cheaper: `CONTEXT.md`."
)


def main(
    report: Annotated[Path, typer.Option(help="`report.json` of `longstream evaluate`.")],
    runs: Annotated[Path, typer.Option(help="Folder of the training runs.")],
    weights: Annotated[str, typer.Option(help="Base the report is about.")] = DEFAULT_WEIGHTS,
) -> None:
    """Write a card for every variant of the report."""
    found = json.loads(report.read_text("utf-8"))
    base_sha256 = load_encoder(found["teacher"], weights, adapter=WITHOUT).base_sha256
    for row in found["rows"]:
        training = runs / row["attention"] / "run.json"
        run = json.loads(training.read_text("utf-8")) if training.exists() else None
        file = FOLDER / f"{row['attention']}.md"
        file.write_text(card(row, found, run, base_sha256), encoding="utf-8")
        typer.echo(str(file))


def card(
    row: Mapping[str, Any],
    report: Mapping[str, Any],
    run: Mapping[str, Any] | None,
    base_sha256: str,
) -> str:
    """Return a card as Markdown with front matter.

    Args:
        row: The variant's row of the report.
        report: The whole report.
        run: Content of the run's `run.json`; None if nothing was trained.
        base_sha256: Of the base the report is about.
    """
    variant = row["attention"]
    front = {
        "license": "apache-2.0",
        "language": "en",
        "library_name": "longstream",
        "pipeline_tag": "sentence-similarity",
        "base_model": "sentence-transformers/all-MiniLM-L6-v2",
        "base_sha256": base_sha256,
        "evaluation": _figures(row, report),
    }
    parts = [
        f"---\n{yaml.safe_dump(front, sort_keys=False)}---",
        f"# {variant}",
        variants()[variant].summary,
        f"## Figures\n\n{_table(row, report)}",
        f"## How it was trained\n\n{_training(run) if run else 'Nothing of it was trained.'}",
        f"## Limits\n\n{' '.join(_limits(variant, run))}",
    ]
    return "\n\n".join(parts) + "\n"


def _limits(variant: str, run: Mapping[str, Any] | None) -> list[str]:
    said = [LIMITS[variant], GENERAL_LIMITS]
    if run is None:
        return said
    return [*said, REMEMBERING_LIMITS if _of_memory(run) else TAUGHT_LIMITS]


def _figures(row: Mapping[str, Any], report: Mapping[str, Any]) -> dict[str, float | int]:
    """Return what `/v1/models` shows: one number a figure, split and set in its name."""
    split = report["command"]["split"]
    found: dict[str, float | int] = {
        _key(name, split, metric): round(estimate["value"], 4)
        for name, metrics in row["figures"].items()
        for metric, estimate in metrics.items()
        if "document" not in metric
    }
    if row["agreement"]["mean"]:
        found["mean_cosine_to_base"] = round(row["agreement"]["mean"]["value"], 4)
    pace = (report["speed"] or {"ratios": {}})["ratios"].get(row["id"])
    if pace and pace["median"]:
        found["tokens_per_second_to_base"] = round(pace["median"], 2)
    return {**found, "adapter_bytes": row["adapter_bytes"]}


def _key(name: str, split: str, metric: str) -> str:
    return f"{name}_{split}_{metric.replace('@', '_at_')}"


def _table(row: Mapping[str, Any], report: Mapping[str, Any]) -> str:
    lines = ["| set | figure | value | 95 % interval |", "|---|---|---|---|"]
    estimates = [
        (name, metric, estimate)
        for name, metrics in row["figures"].items()
        for metric, estimate in metrics.items()
    ]
    if row["agreement"]["mean"]:
        estimates.append(("all texts", "mean cosine to the base", row["agreement"]["mean"]))
    lines += [
        f"| {name} | {metric} | {e['value']:.4f} | {e['low']:.4f} to {e['high']:.4f} |"
        for name, metric, e in estimates
    ]
    split = report["command"]["split"]
    sets = report["command"]["sets"]
    return "\n".join(lines) + (
        f"\n\nSplit `{split}`; intervals by bootstrap over documents. Given again by "
        f"`longstream evaluate --data DIR --sets {sets} --split {split}`."
    )


def _of_memory(run: Mapping[str, Any]) -> bool:
    """Return whether `models.fit.context` wrote this: its runs have sets of documents where others have texts."""
    return "sets" in run


def _training(run: Mapping[str, Any]) -> str:
    return _memory_training(run) if _of_memory(run) else _adapter_training(run)


def _memory_training(run: Mapping[str, Any]) -> str:
    stages = {name: part for name, part in run["recipe"].items() if isinstance(part, Mapping)}
    steps = ", then ".join(
        f"{part['steps']:,} steps of the {name}" for name, part in stages.items()
    )
    recipe = "\n".join(f"| {name} | {value} |" for name, value in _flat(run["recipe"]))
    return (
        f"Only what acts behind a memory: {steps}, on {run['device']}, drawn with seed {run['seed']} from documents "
        f"and queries of {', '.join(run['sets'])} (`DATA.md`; `-hidden`: copies that name their topic only at first)."
        f"\n\n```sh\n{run['command']}\n```\n\n| recipe | |\n|---|---|\n{recipe}"
    )


def _flat(recipe: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Yield names with dots and values of what is nested, without what is None."""
    for name, value in recipe.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{above}{name}.")
        elif value is not None:
            yield above + name, value


def _adapter_training(run: Mapping[str, Any]) -> str:
    recipe = "\n".join(f"| {name} | {value} |" for name, value in run["recipe"].items())
    held_out = ", ".join(f"{name} {value:.4f}" for name, value in run["held_out"].items())
    return (
        f"{run['steps']:,} steps on {run['device']}, drawn with seed {run['seed']} from {run['text_tokens']:,} tokens "
        f"of text (`DATA.md`); agreement with the base on held-out text: {held_out}.\n\n"
        f"```sh\n{run['command']}\n```\n\n| recipe | |\n|---|---|\n{recipe}"
    )


if __name__ == "__main__":
    typer.run(main)
