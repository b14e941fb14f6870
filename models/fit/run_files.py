"""Files of a training run: a log line a step, and a checkpoint that is whole or the one before."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch


def append_row(log: Path, step: int, figures: Mapping[str, float]) -> None:
    """Add a step's figures to a CSV log; the first row names them."""
    row = {"step": step, **figures}
    fresh = not log.exists()
    with log.open("a", newline="", encoding="utf-8") as out:
        writer = csv.writer(out)
        if fresh:
            writer.writerow(row)
        writer.writerow(row.values())


def forget_after(log: Path, step: int) -> None:
    """Drop the lines of steps after a checkpoint: they will be done again."""
    if not log.exists():
        return
    head, *lines = log.read_text("utf-8").splitlines(keepends=True)
    kept = [line for line in lines if int(line.partition(",")[0]) <= step]
    log.write_text("".join([head, *kept]), encoding="utf-8")


def save_whole(state: Mapping[str, Any], checkpoint: Path) -> None:
    """Write a checkpoint; a run that is killed meanwhile keeps the one before."""
    partial = checkpoint.with_suffix(".partial")
    torch.save(dict(state), partial)
    partial.replace(checkpoint)
