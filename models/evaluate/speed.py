"""Tokens per second of the variants beside each other, as ratios: the machine's own speed cancels out."""

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from models.evaluate.encoding import encode, plan_reading
from models.evaluate.plan import Plan
from models.evaluate.report import Pace, Speed
from models.evaluate.variant import Variant
from models.evaluate.watch import Watch

_DOCUMENTS: Final = (
    16  # side by side they fill a step also where a memory makes chunks wait for each other
)
_CHUNKS: Final = 4  # of each document, so that memories are read as well as written
_GATE_TEXTS: Final = 4
_TOLERANCE: Final = 1e-4

Sample = tuple[tuple[str, ...], ...]


def speed_sample(plan: Plan) -> Sample:
    """Return the fixed texts that speed is measured on: the beginnings of documents, or sentences if there are none."""
    documents = [chunks[:_CHUNKS] for data in plan.sets for chunks in data.documents]
    if documents:
        return tuple(documents[:_DOCUMENTS])
    return tuple(text for part in plan.parts for text in part.documents[: _DOCUMENTS * _CHUNKS])


def measure_speed(
    variants: Sequence[Variant],
    plan: Plan,
    watch: Watch,
    clock: Callable[[], float] = time.perf_counter,
) -> Speed:
    """Measure the variants in turns, A B C A B C …, and compare each with the teacher's turn of the same round.

    A variant that is not correct in a full batch has no speed worth knowing: `gate` decides before.

    Args:
        variants: The rows of the run, the teacher among them.
        plan: Says who the teacher is, how many rounds there are, and what is read.
        watch: Is told about each turn.
        clock: Seconds, for tests.
    """
    sample = speed_sample(plan)
    refused = {variant.id: gate(variant, sample) for variant in variants}
    timed = [variant for variant in variants if refused[variant.id] is None]
    readings = {variant.id: plan_reading(variant, sample) for variant in timed}
    rates: dict[str, list[float]] = {variant.id: [] for variant in timed}
    watch.begin("speed", (plan.speed_rounds + 1) * len(timed))
    for warm in [False] + [True] * plan.speed_rounds:
        for variant in timed:
            begun = clock()
            encode(variant, readings[variant.id])
            seconds = clock() - begun
            if warm:
                rates[variant.id].append(readings[variant.id].tokens / seconds)
            watch.advance(1)
    return Speed(
        rounds=plan.speed_rounds,
        texts=sum(len(document) for document in sample),
        ratios={
            id_: _pace(refused[id_], rates.get(id_), rates.get(plan.teacher)) for id_ in refused
        },
    )


def gate(variant: Variant, sample: Sample) -> str | None:
    """Find out whether a text's vector is the same in a full batch and alone; None if it is.

    Returns:
        What is wrong, as words for the report.
    """
    reading = plan_reading(variant, sample[:_GATE_TEXTS])
    packed, alone = encode(variant, reading), encode(variant, reading, step_tokens=1)
    apart = float(np.abs(packed.vectors - alone.vectors).max())
    if apart <= _TOLERANCE:
        return None
    return f"vectors in a batch are {apart:.1e} away from those of the texts alone"


def _pace(refused: str | None, ours: list[float] | None, teacher: list[float] | None) -> Pace:
    if refused is not None or ours is None:
        return Pace(None, None, None, refused)
    if teacher is None:
        return Pace(None, None, None, "the teacher itself has no speed to compare with")
    ratios = [mine / theirs for mine, theirs in zip(ours, teacher, strict=True)]
    return Pace(statistics.median(ratios), min(ratios), max(ratios), None)
