"""Runs are taken up where they stopped, bit for bit, and change nothing where there is nothing to remember."""

import csv
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from models.errors import FitError
from models.evaluate.data import RetrievalSet
from models.fit.context.__main__ import trained_parameters
from models.fit.context.draws import Draws
from models.fit.context.objectives import OverStates, ThroughEncoder
from models.fit.context.recipes import STANDING_ALONE, Stage, rate_of
from models.fit.context.states import States
from models.fit.context.trainer import ContextTrainer
from models.loading import LoadedEncoder, load_encoder
from tests.models.attention.layers import words
from tests.models.fit.context.conftest import LoadSmall

STAGE = Stage(steps=4, documents=3, chunks=3, rate=1e-2)


class _Killed(Exception):
    """Ends a run in the middle."""


def _objective(
    model: LoadedEncoder, documents: RetrievalSet, stage: Stage, seed: int
) -> ThroughEncoder | OverStates:
    draws = Draws([documents], {}, stage.documents, stage.chunks, seed)
    parameters = trained_parameters(model)
    if model.encoder.reader is None:
        return ThroughEncoder(model, draws, stage, parameters)
    parameters = {name: p for name, p in parameters.items() if name.startswith("reader.")}
    return OverStates(model, draws, stage, parameters, States(model, {documents.name: documents}))


def _trainer(
    model: LoadedEncoder,
    documents: RetrievalSet,
    folder: Path,
    stage: Stage = STAGE,
    seed: int = 0,
) -> ContextTrainer:
    objective = _objective(model, documents, stage, seed)
    rates = {name: rate_of(name, stage) for name in objective.parameters}
    return ContextTrainer(objective, stage.steps, rates, folder)


def _values(trainer: ContextTrainer) -> dict[str, Tensor]:
    return {name: parameter.detach().clone() for name, parameter in trainer.parameters.items()}


def _log(folder: Path) -> list[dict[str, str]]:
    with (folder / "train.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("variant", ["infini", "infini-plus"])
def test_a_run_that_was_killed_goes_on_to_the_same_bits(
    load_small: LoadSmall, documents: RetrievalSet, tmp_path: Path, variant: str
):
    whole = _trainer(load_small(variant), documents, tmp_path / "whole")
    begun = _values(whole)
    whole.run()

    def kill(step: int, _: Mapping[str, float]) -> None:
        if step == 3:
            raise _Killed

    stopped = _trainer(load_small(variant), documents, tmp_path / "stopped")
    with pytest.raises(_Killed):
        stopped.run(save_every_s=-1.0, report=kill)
    again = _trainer(load_small(variant), documents, tmp_path / "stopped")
    assert again.step == 2  # the third was not saved
    again.run()

    moved = [name for name, value in _values(again).items() if not torch.equal(value, begun[name])]
    assert set(moved) == set(begun)
    for name, value in _values(whole).items():
        assert torch.equal(_values(again)[name], value), name
    logs = [
        [{k: v for k, v in row.items() if k != "seconds"} for row in _log(tmp_path / folder)]
        for folder in ("whole", "stopped")
    ]
    assert logs[0] == logs[1]
    assert [row["step"] for row in logs[0]] == ["1", "2", "3", "4"]


def test_until_is_kept_and_a_run_that_is_done_stays_done(
    load_small: LoadSmall, documents: RetrievalSet, tmp_path: Path
):
    trainer = _trainer(load_small("infini"), documents, tmp_path)
    trainer.run(until=0.0)
    assert trainer.step == 0
    trainer.run()
    done = _values(trainer)
    again = _trainer(load_small("infini"), documents, tmp_path)
    again.run()
    assert again.step == STAGE.steps
    assert all(torch.equal(done[name], value) for name, value in _values(again).items())


@pytest.mark.parametrize(
    ("stage", "seed"),
    [
        (replace(STAGE, steps=5), 0),
        (replace(STAGE, rate=1e-3), 0),
        (replace(STAGE, sequence=0.1), 0),
        (STAGE, 1),
    ],
)
def test_a_checkpoint_of_another_run_is_refused(
    load_small: LoadSmall, documents: RetrievalSet, tmp_path: Path, stage: Stage, seed: int
):
    _trainer(load_small("infini"), documents, tmp_path).run(until=0.0)
    model = load_small("infini")
    before = {name: p.clone() for name, p in trained_parameters(model).items()}
    with pytest.raises(FitError, match="of a run with another recipe, seed or data"):
        _trainer(model, documents, tmp_path, stage, seed)
    assert all(torch.equal(before[name], p) for name, p in trained_parameters(model).items())


def test_a_checkpoint_of_other_parameters_is_refused(
    load_small: LoadSmall, documents: RetrievalSet, tmp_path: Path
):
    _trainer(load_small("infini"), documents, tmp_path).run(until=0.0)
    with pytest.raises(FitError, match="of a run of other parameters"):
        _trainer(load_small("infini-plus"), documents, tmp_path)


@pytest.mark.parametrize("variant", ["infini", "infini-plus"])
def test_an_empty_memory_is_untouched_by_training(
    load_small: LoadSmall, documents: RetrievalSet, tmp_path: Path, checkpoint: Path, variant: str
):
    model, encoder_input = load_small(variant), [words(9, 1)]
    base = load_encoder("multi-head", str(checkpoint)).encoder
    encoder = model.encoder

    def later() -> Tensor:
        output = encoder([words(9, 2)], [encoder.empty_memory()])
        tokens: Tensor = encoder(encoder_input, output.memories).tokens
        return tokens.detach()

    before = later()
    _trainer(model, documents, tmp_path, replace(STAGE, rate=1.0, gate_rate=1.0)).run()
    with torch.inference_mode():
        first, plain = encoder(encoder_input, [encoder.empty_memory()]), base(encoder_input)
    assert torch.equal(first.tokens, plain.tokens)
    assert torch.equal(first.sums, plain.sums)
    assert (later() - before).abs().max() > 1e-2


@pytest.mark.parametrize("variant", ["infini", "infini-plus"])
def test_only_where_chunks_stand_alone_is_moving_them_a_loss(
    load_small: LoadSmall, documents: RetrievalSet, variant: str
):
    model = load_small(variant)
    standing = replace(documents, name=STANDING_ALONE[0])
    drifts = {
        data.name: _objective(model, data, STAGE, seed=0).losses(0)["drift"].item()
        for data in (documents, standing)
    }
    assert drifts[documents.name] == 0
    assert 1e-4 < drifts[standing.name] < 2 * STAGE.drift

    with torch.no_grad():  # shut all gates: then nothing is moved
        for name, parameter in trained_parameters(model).items():
            if name.endswith((".beta", "output_gate.bias")):
                parameter.fill_(-40.0)
            elif name.endswith("gate.weight") or ".output_gate.network.out" in name:
                parameter.zero_()
    still = _objective(model, standing, STAGE, seed=0).losses(0)["drift"].item()
    assert still == pytest.approx(0, abs=1e-3)


def test_the_log_has_all_losses_and_the_gates(
    load_small: LoadSmall, documents: RetrievalSet, tmp_path: Path
):
    trainer = _trainer(load_small("infini"), documents, tmp_path)
    trainer.run()
    gate = torch.sigmoid(trainer.parameters["blocks.1.attention.beta"]).mean().item()
    *_, last = _log(tmp_path)
    assert set(last) == {"step", "sequence", "batch", "drift", "gate_1", "rate", "seconds"}
    assert float(last["gate_1"]) == pytest.approx(gate, abs=1e-4)
    assert float(last["batch"]) > 0
