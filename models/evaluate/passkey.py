"""`python -m models.evaluate.passkey`: is a number found again after up to ten million tokens of other text?

    python -m models.evaluate.passkey --filler war_and_peace.txt --probe DIR/memory_probe/dev --out passkey.json

Exact match of all five digits, in the paper's own repeated sentences and in every text given. The table goes to
standard output as Markdown.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from models.checkpoints import packaged
from models.config import DEFAULT_WEIGHTS
from models.errors import ModelError, WeightsError
from models.evaluate.errors import EvaluationError
from models.evaluate.passkey_filler import Filler, Reader
from models.evaluate.passkey_measure import DEPTHS, Cell, Passkey
from models.evaluate.passkey_probe import read_probe
from models.evaluate.passkey_texts import LOOP
from models.loading import WITHOUT, load_encoder, use_threads
from models.recall import load_recall

LENGTHS: Final = (4_000, 32_000, 128_000, 512_000, 1_000_000, 10_000_000)
PHRASINGS: Final = ("paper", "named", "unseen")
_LONG: Final = 1_000_000
_LOOPS: Final = 400
_STREAMED: Final = 5
"""Documents that are also read segment by segment; each costs its length."""


def main(  # noqa: PLR0913, PLR0917 - one parameter per option of the command
    filler: Annotated[
        list[Path], typer.Option(help="Text file to hide numbers in; again for more.")
    ],
    head: Annotated[Path | None, typer.Option(help="Recall head; the packaged one.")] = None,
    probe: Annotated[Path | None, typer.Option(help="Folder of a memory probe's split.")] = None,
    weights: Annotated[str, typer.Option(help="Base.")] = DEFAULT_WEIGHTS,
    documents: Annotated[int, typer.Option(min=1, help="Documents of a cell.")] = 100,
    longest: Annotated[int, typer.Option(help="Leave out longer documents.")] = LENGTHS[-1],
    threads: Annotated[int | None, typer.Option(help="Torch threads.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write the figures as JSON, too.")] = None,
) -> None:
    """Measure a recall head."""
    if threads:
        use_threads(threads)
    base = load_encoder("multi-head", weights, adapter=WITHOUT)
    file = head or packaged("recall", "safetensors")
    if file is None:
        raise WeightsError("no recall head is packaged: give one with --head")
    reader = Reader(base, load_recall(file, base.base_sha256))
    lengths = [length for length in LENGTHS if length <= longest]
    fillers = [Filler.of("loop", LOOP * _LOOPS, reader)]
    fillers += [Filler.of(path.stem, _text(path), reader) for path in filler]
    cells = [
        cell
        for f in fillers
        for cell in measure(f, lengths, documents, several=f is not fillers[0])
    ]
    if probe:
        cells.append(measure_probe(reader, probe))
    found = {
        "state_bytes": state_bytes(reader),
        "fillers": [describe(f) for f in fillers],
        "cells": [{**asdict(cell), "interval": cell.interval} for cell in cells],
    }
    if out:
        out.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    typer.echo(markdown(found))


def measure(
    filler: Filler, lengths: Sequence[int], documents: int, *, several: bool = True
) -> Iterator[Cell]:
    """Yield all figures of one filler; those with several numbers in a document only if asked for."""
    passkey = Passkey(filler, documents)
    for phrasing in PHRASINGS:
        for depth in DEPTHS:
            yield from passkey.depth(phrasing, depth, lengths)
    ends = sorted({min(lengths), min(_LONG, max(lengths))})
    if several:
        for count in (4, 16):
            yield from passkey.keys(count, ends)
        yield from passkey.distractors(ends)
        yield from passkey.absent(4, ends)
    yield from passkey.absent(0, ends)
    yield from passkey.reset(ends)
    yield Passkey(filler, min(_STREAMED, documents)).streamed(min(lengths))


def measure_probe(reader: Reader, folder: Path) -> Cell:
    """Read the probe's documents chunk by chunk and ask their questions."""
    tokenizer, hits, tokens = reader.base.tokenizer, 0, []
    questions = read_probe(folder)
    for question in questions:
        segments = [s for cut in tokenizer.segments(question.chunks) for s in cut]
        tokens.append(sum(segment.content_tokens for segment in segments))
        parts = reader.write_numbers(segments, reader.head.empty())
        asked = tokenizer.segments([question.text])[0][0]
        hits += (
            reader.head.answer(reader.states([asked])[0], asked, parts).digits == question.answer
        )
    middle = sorted(tokens)[len(tokens) // 2]
    return Cell("memory_probe", "its own questions, median length", middle, hits, len(questions))


def state_bytes(reader: Reader) -> int:
    """Return the bytes of a state; they do not depend on what was read."""
    return sum(part.numel() * part.element_size() for part in reader.head.empty().values())


def describe(filler: Filler) -> dict[str, Any]:
    """State what a filler holds, and how much of it is written though nobody asks for it."""
    return {
        "name": filler.name,
        "tokens": filler.tokens,
        "number_tokens": filler.numbers,
        "chunks": len(filler.chunks),
        "chunks_that_write": filler.leaks,
    }


def markdown(found: dict[str, Any]) -> str:
    """Return one table of lengths for each filler."""
    lines = [f"State: {found['state_bytes']:,} bytes, whatever was read.", ""]
    lines += [
        f"`{f['name']}`: {f['tokens']:,} tokens, {f['number_tokens']:,} of them in numbers; of {f['chunks']:,} "
        f"chunks {f['chunks_that_write']:,} write."
        for f in found["fillers"]
    ]
    lengths = sorted({cell["tokens"] for cell in found["cells"]})
    lines += ["", f"| filler | task | {' | '.join(f'{n:,}' for n in lengths)} |"]
    lines.append("|---|---|" + "---|" * len(lengths))
    rows: dict[tuple[str, str], dict[int, str]] = {}
    for cell in found["cells"]:
        share = f"{100 * cell['hits'] / cell['of']:.0f} % of {cell['of']}"
        rows.setdefault((cell["filler"], cell["task"]), {})[cell["tokens"]] = share
    for (name, task), row in rows.items():
        lines.append(f"| {name} | {task} | {' | '.join(row.get(n, '') for n in lengths)} |")
    return "\n".join(lines)


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise EvaluationError(f"cannot read {file}: {error}") from error


def command() -> None:
    """Run the command; what a user can mend is one line."""
    try:
        typer.run(main)
    except ModelError as error:
        raise SystemExit(f"passkey: {error}") from error


if __name__ == "__main__":
    command()
