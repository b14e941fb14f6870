"""Training a recall head: it learns, it can be stopped at any step, and its questions have one answer."""

import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from models.errors import FitError
from models.fit.recall_documents import NAMED_FORMS, Documents, Material
from models.fit.recall_encoding import Numbers, Questions
from models.fit.recall_recipe import RecallRecipe
from models.fit.recall_texts import Fact
from models.fit.recall_trainer import RecallTrainer
from models.recall import RecallHead
from models.recall.windows import Windows
from tests.models.recall.heads import OPTIONS, random_head

RECIPE = RecallRecipe(steps=60, documents=4, others=16, mine_every=20, rate=1e-2)
FACTS = 60


def made_up() -> Material:
    """Return facts whose tokens say all: 100 + f is a name, 40 and 41 are kinds, states follow from tokens."""
    draw = torch.Generator().manual_seed(0)
    table = torch.randn(400, OPTIONS.width, generator=draw)
    facts = [
        Fact(("pass key", "door code")[f % 2], f"name {f}", f"{f * 97 % 1000:03d}")
        for f in range(FACTS)
    ]

    def windows(ids: Tensor, number: int) -> Windows:
        numbers = table[number].expand(len(ids), -1)
        return Windows(numbers, table[ids], ids, torch.ones(ids.shape, dtype=torch.bool))

    def around(f: int) -> list[int]:
        return [5, 6, 40 + f % 2, 100 + f, 7, 8, 9, 5]

    stated = windows(torch.tensor([around(f) for f in range(FACTS)]), 1)
    others = windows(torch.randint(200, 400, (80, 8), generator=draw), 2)
    asked = torch.tensor(
        [
            [50, 40 + f % 2, 100 + f if form < NAMED_FORMS else 51]
            for f in range(FACTS)
            for form in range(3)
        ]
    )
    return Material(
        facts,
        Numbers(stated, [fact.digits for fact in facts], list(range(FACTS))),
        Numbers(others, ["1"] * 80, [-1] * 80),
        Questions(table[asked], asked, torch.ones(asked.shape, dtype=torch.bool)),
    )


def trainer(
    folder: Path, recipe: RecallRecipe = RECIPE, seed: int = 0
) -> tuple[RecallTrainer, RecallHead]:
    head = random_head()
    return RecallTrainer(head, made_up(), recipe, folder, seed), head


def test_it_learns_to_keep_to_leave_and_to_find(tmp_path: Path):
    training, _ = trainer(tmp_path, replace(RECIPE, steps=150))
    before, losses = training.agreement(), list[dict[str, float]]()
    training.run(report=lambda _, figures: losses.append(dict(figures)))
    after = training.agreement()
    assert before["right"] < 0.6
    assert after["right"] > before["right"] + 0.2
    assert after["leaks"] < 0.1 < before["leaks"]
    for name in ("read", "keep", "leave"):
        assert losses[-1][name] < 0.6 * losses[0][name], name


def test_a_run_that_was_stopped_ends_where_one_without_a_stop_does(tmp_path: Path):
    whole, wanted = trainer(tmp_path / "whole")
    whole.run()

    class Stop(Exception):
        pass

    for place in (33, 50):

        def stop(step: int, _: object, place: int = place) -> None:
            if step == place:
                raise Stop

        with pytest.raises(Stop):
            trainer(tmp_path / "parts")[0].run(report=stop)
    last, head = trainer(tmp_path / "parts")
    assert last.step == 40
    last.run()
    for name, tensor in wanted.state_dict().items():
        assert torch.equal(head.state_dict()[name], tensor), name


def test_a_run_stops_at_its_time_and_keeps_what_it_has(tmp_path: Path):
    training, _ = trainer(tmp_path)
    training.run(until=time.monotonic() - 1)
    assert training.step == 0
    assert trainer(tmp_path)[0].step == 0


def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path):
    trainer(tmp_path)[0].run(until=0.0)
    for other in ({"seed": 1}, {"recipe": replace(RECIPE, steps=70)}):
        with pytest.raises(FitError, match="of another run"):
            trainer(tmp_path, **other)


def test_questions_have_one_answer_or_none():
    material = made_up()
    documents = Documents(material, range(FACTS), seed=0)
    seen = set()
    for step in range(40):
        facts_of, asked = documents.draw(step, 6)
        assert (facts_of, asked) == documents.draw(step, 6)
        for question in asked:
            facts = facts_of[question.document]
            fact, form = divmod(question.row, NAMED_FORMS + 1)
            seen.add((question.fact is None, question.by_kind))
            assert question.by_kind == (form == NAMED_FORMS)
            assert (fact in facts) == (question.fact is not None)
            if question.by_kind:
                kinds = [material.facts[f].kind for f in facts]
                assert kinds.count(material.facts[fact].kind) == 1
    assert seen == {(True, False), (False, False), (False, True)}
