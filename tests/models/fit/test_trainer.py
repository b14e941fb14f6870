"""The training loop: it learns, it can be stopped at any step, and it touches the adapter alone."""

import csv
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from models.errors import FitError
from models.fit.batches import Batches
from models.fit.optimizers import FIRST_STEPS, LEAST_RATE, WARM_UP_RATE, share_of_rate
from models.fit.recipes import Recipe
from models.fit.trainer import Progress, Trainer
from models.weights import adapter_parameters
from tests.models.fit.conftest import student, teacher

RECIPE = Recipe(tokens=12 * 132, warm_up_tokens=4 * 132, step_tokens=132, relations=0.5)
MakeTrainer = Callable[..., Trainer]


@pytest.fixture
def make_trainer(batches: Batches, tmp_path: Path) -> MakeTrainer:
    """Build trainers of runs in folders of one temporary folder; keywords change the recipe."""

    def make(run: str = "run", attention: str = "causal", **changes: float) -> Trainer:
        recipe = replace(RECIPE, **changes)  # type: ignore[arg-type] # tokens are whole numbers
        return Trainer(student(attention), teacher(), batches, recipe, tmp_path / run)

    return make


def parameters(trainer: Trainer) -> Mapping[str, Tensor]:
    return {name: p.detach().clone() for name, p in trainer._student.state_dict().items()}


def stop_after(trainer: Trainer, step: int) -> None:
    """Run on to a step, then stop as a deadline or Ctrl-C would."""

    def interrupt(at: Progress) -> None:
        if at.step == step:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trainer.run(save_every_s=0.0, report=interrupt)


@pytest.mark.parametrize("warm_up", [True, False], ids=["warm-up", "distilling"])
def test_a_few_steps_lower_the_loss(make_trainer: MakeTrainer, batches: Batches, warm_up: bool):  # noqa: FBT001 - parametrised
    tokens = 24 * 132
    trainer = make_trainer(
        attention="self-attention", tokens=tokens, warm_up_tokens=tokens if warm_up else 0
    )

    def loss() -> float:
        step, trainer.step = trainer.step, 0
        with torch.no_grad():
            found = trainer._losses(batches.batch(1000))
        trainer.step = step
        return sum(part.item() for part in found.values())

    agreed, before, seen = trainer.agreement(), loss(), list[Progress]()
    trainer.run(report=seen.append)
    assert loss() < 0.95 * before
    after = trainer.agreement()
    assert after["cosine"] > agreed["cosine"]
    assert after["cosine_p5"] <= after["cosine"] <= 1 + 1e-6
    assert [(at.step, at.steps) for at in seen] == [(step, 24) for step in range(1, 25)]
    assert ("warm_up" in seen[-1].figures) == warm_up


def test_a_run_that_was_stopped_ends_bit_for_bit_where_one_without_a_stop_does(
    make_trainer: MakeTrainer,
):
    whole = make_trainer("whole")
    whole.run()
    for step in (2, 7):  # in the warm-up, and after it
        stop_after(make_trainer("stopped"), step)
    resumed = make_trainer("stopped")
    assert resumed.step == 7
    resumed.run()
    assert resumed.step == whole.step == 12
    expected = parameters(whole)
    for name, tensor in parameters(resumed).items():
        assert torch.equal(tensor, expected[name]), name


def test_only_what_an_adapter_may_hold_changes(make_trainer: MakeTrainer):
    trainer = make_trainer(attention="bidirectional")
    before = parameters(trainer)
    teacher = {name: p.clone() for name, p in trainer._teacher.state_dict().items()}
    trainer.run()
    adapted = set(adapter_parameters(trainer._student))
    changed = {n for n, tensor in parameters(trainer).items() if not torch.equal(tensor, before[n])}
    # A key's bias shifts all scores of a query alike: no loss but that of relations sees it.
    assert changed == adapted
    assert all(torch.equal(p, teacher[n]) for n, p in trainer._teacher.state_dict().items())


def test_a_checkpoint_of_another_recipe_is_refused_and_kept(
    make_trainer: MakeTrainer, tmp_path: Path
):
    make_trainer().run()
    kept = (tmp_path / "run/checkpoint.pt").read_bytes()
    with pytest.raises(FitError, match="another recipe, seed or text; use another folder"):
        make_trainer(matrix_rate=1e-3)
    assert (tmp_path / "run/checkpoint.pt").read_bytes() == kept


def test_a_run_stops_in_time_and_leaves_a_checkpoint(make_trainer: MakeTrainer, tmp_path: Path):
    trainer = make_trainer()
    trainer.run(until=time.monotonic() - 1)
    assert trainer.step == 0
    assert [path.name for path in tmp_path.glob("run/checkpoint*")] == ["checkpoint.pt"]
    assert make_trainer().step == 0


def test_a_run_that_is_killed_while_it_saves_keeps_the_checkpoint_before(
    make_trainer: MakeTrainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    stop_after(make_trainer(), 3)

    def half(_state: object, file: Path) -> None:
        file.write_bytes(b"half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", half)
        with pytest.raises(KeyboardInterrupt):
            make_trainer().run()
    assert make_trainer().step == 3


def test_progress_is_logged_step_by_step(make_trainer: MakeTrainer, tmp_path: Path):
    make_trainer(warm_up_tokens=0).run()
    with (tmp_path / "run/train.csv").open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert [int(row["step"]) for row in rows] == list(range(1, 13))
    for row in rows:
        assert row.keys() == {
            *("step", "length", "rate", "sentence", "similarity", "layers", "relations"),
            "tokens_per_s",
        }
        assert all(float(value) >= 0 for value in row.values())
    with (tmp_path / "run/held_out.csv").open(encoding="utf-8", newline="") as lines:
        [last] = csv.DictReader(lines)
    assert 0 < float(last["cosine"]) <= 1 + 1e-6


def test_a_loss_of_weight_0_is_not_computed(make_trainer: MakeTrainer):
    seen = list[Progress]()
    make_trainer(warm_up_tokens=0, tokens=132, relations=0.0, layers=0.0).run(report=seen.append)
    [only] = seen
    assert {"sentence", "similarity"} < only.figures.keys()
    assert not {"relations", "layers"} & only.figures.keys()


def test_rates_rise_then_fall_to_the_recipes_in_the_warm_up_then_along_a_cosine():
    warm_up, steps = 200, 1000
    rates = [share_of_rate(step, warm_up, steps) for step in range(steps + 1)]
    assert rates[0] == pytest.approx(WARM_UP_RATE / FIRST_STEPS)
    assert rates[:FIRST_STEPS] == sorted(rates[:FIRST_STEPS])
    assert rates[FIRST_STEPS:] == sorted(rates[FIRST_STEPS:], reverse=True)
    assert rates[warm_up // 2] == pytest.approx((WARM_UP_RATE + 1) / 2)
    assert rates[warm_up] == 1.0
    assert rates[(warm_up + steps) // 2] == pytest.approx((1 + LEAST_RATE) / 2)
    assert rates[steps] == pytest.approx(LEAST_RATE)


def test_without_a_warm_up_the_rates_begin_on_the_cosine():
    rates = [share_of_rate(step, 0, 1000) for step in range(1001)]
    assert rates[0] == pytest.approx(1 / FIRST_STEPS)
    assert max(rates) == pytest.approx(1.0, abs=1e-2)
    assert rates[500] == pytest.approx((1 + LEAST_RATE) / 2)
