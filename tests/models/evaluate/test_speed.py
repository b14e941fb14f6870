from dataclasses import replace
from itertools import chain, repeat

import pytest
import torch

from models.encoder import EncoderOutput
from models.evaluate import EvaluationError, Plan, Variant
from models.evaluate.plan import SENTENCES
from models.evaluate.speed import gate, measure_speed, speed_sample
from models.evaluate.watch import Unwatched


class Ticks:
    """A clock on which each turn takes as long as it is told."""

    def __init__(self, seconds: list[float]) -> None:
        self.now = 0.0
        self.steps = chain.from_iterable(zip(repeat(0.0), seconds, strict=False))

    def __call__(self) -> float:
        self.now += next(self.steps)
        return self.now


@pytest.fixture
def twins(variants: list[Variant]) -> list[Variant]:
    return [variants[0], replace(variants[0], id="twin")]


def test_the_median_of_the_ratios_of_each_round(twins: list[Variant], plan: Plan):
    warm_up = [50.0, 1.0]
    turns = [1.0, 2.0, 10.0, 5.0, 3.0, 12.0]  # the twin: half, twice, a quarter of the speed
    clock = Ticks(warm_up + turns)
    found = measure_speed(twins, replace(plan, speed_rounds=3), Unwatched(), clock)
    twin, teacher = found.ratios["twin"], found.ratios["multi-head"]
    assert (twin.median, twin.smallest, twin.largest) == (0.5, 0.25, 2.0)
    assert (teacher.median, teacher.smallest, teacher.largest) == (1, 1, 1)
    assert (found.rounds, found.texts, twin.refused) == (3, 12, None)


def depend_on_the_batch(variant: Variant) -> None:
    forward = variant.encoder.forward

    def broken(segments, memories=None) -> EncoderOutput:
        output = forward(segments, memories)
        noise = 0.1 * len(segments) * torch.arange(output.sums.shape[1])
        return replace(output, sums=output.sums + noise)

    variant.encoder.forward = broken  # type: ignore[method-assign]


def test_a_wrong_encoder_has_no_speed(variants: list[Variant], plan: Plan):
    depend_on_the_batch(variants[1])
    found = measure_speed(variants, plan, Unwatched()).ratios
    assert found["infini"].median is None
    assert "away from those of the texts alone" in str(found["infini"].refused)
    assert found["multi-head"].median == 1


def test_without_the_teacher_there_is_nothing_to_compare_with(variants: list[Variant], plan: Plan):
    depend_on_the_batch(variants[0])
    found = measure_speed(variants, plan, Unwatched()).ratios
    assert [pace.median for pace in found.values()] == [None, None]
    assert "teacher" in str(found["infini"].refused)


def test_right_encoders_pass(variants: list[Variant], plan: Plan):
    assert [gate(variant, speed_sample(plan)) for variant in variants] == [None, None]


def test_the_sample_is_of_documents_or_else_of_sentences(plan: Plan):
    assert speed_sample(plan) == plan.sets[0].documents
    [part] = [part for part in plan.parts if part.kind == SENTENCES]
    assert speed_sample(replace(plan, sets=())) == part.documents


def test_a_plan_reads_something_once(plan: Plan):
    with pytest.raises(EvaluationError, match="nothing to evaluate on"):
        replace(plan, sets=(), pairs=None)
    with pytest.raises(EvaluationError, match="more than once: garden"):
        replace(plan, sets=plan.sets * 2)
