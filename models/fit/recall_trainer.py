"""Training a recall head: every step is reproducible, and a run can be stopped and taken up again."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor

from models.errors import FitError
from models.fit.recall_documents import Asked, Documents, Material
from models.fit.recall_recipe import RecallRecipe
from models.fit.run_files import save_whole
from models.recall import RecallHead, Records
from models.recall.options import END, SYMBOLS
from models.recall.windows import Windows

_HELD_OUT: Final = 10
"""One fact of so many is never trained on."""
_LOOKED_AT_ONCE: Final = 1024
_HALF: Final = 0.5
_SHORTEST: Final = 3
"""Digits of the shortest number that is drawn."""


class RecallTrainer:
    """Trains a recall head on encoded texts.

    Args:
        head: The head, on the device to train on.
        material: Encoded texts.
        recipe: How.
        folder: Where the run's checkpoint lies; one found there is taken up.
        seed: Of all draws.

    Raises:
        FitError: the checkpoint found is of another run.
    """

    def __init__(
        self,
        head: RecallHead,
        material: Material,
        recipe: RecallRecipe,
        folder: Path,
        seed: int,
    ) -> None:
        self._head, self._material, self._recipe, self._seed = head, material, recipe, seed
        self._device = head.distance.device
        facts = sorted(material.rows)
        self._training = Documents(material, [f for f in facts if f % _HELD_OUT], seed)
        self._held_out = Documents(material, [f for f in facts if not f % _HELD_OUT], seed)
        around = [row for row, fact in enumerate(material.stated.facts) if fact < 0]
        self._others = Windows.join(
            [
                material.others.windows,
                material.stated.windows.take(torch.tensor(around, dtype=torch.long)),
            ]
        )
        self._hardness = torch.ones(len(self._others))
        self._optimizer = torch.optim.AdamW(
            head.parameters(), lr=recipe.rate, weight_decay=recipe.decay
        )
        head.eval()
        self.step = 0
        self._file = folder / "checkpoint.pt"
        folder.mkdir(parents=True, exist_ok=True)
        if self._file.exists():
            self._resume()

    def run(
        self,
        until: float = math.inf,
        report: Callable[[int, Mapping[str, float]], None] = lambda _step, _figures: None,
    ) -> None:
        """Train to the end, or until a point in time; a checkpoint after every mining and at the end.

        Args:
            until: `time.monotonic()` at which to stop.
            report: Called after every step with the step and its losses.
        """
        while self.step < self._recipe.steps and time.monotonic() < until:
            if self.step and self.step % self._recipe.mine_every == 0:
                self._mine()
                self._save()
            figures = self._train_step()
            report(self.step, figures)
        self._save()

    @torch.no_grad()
    def agreement(self, steps: int = 40) -> dict[str, float]:
        """Measure held-out facts.

        Returns:
            `right` and `right_by_kind`: found exactly, asked for by name and without; `least_5_percent`: the least vote
            that only one in twenty right answers by name stays below; `highest_5_percent`: the vote that only one in
            twenty answers on what was not stated exceeds; `kept`: the share of stated numbers that is written with at
            least half weight; `leaks`: the share of other numbers that is written at all.
        """
        named, by_kind, right, absent, kept = (list[float]() for _ in range(5))
        for step in range(steps):
            documents, asked = self._held_out.draw(step, self._recipe.documents)
            votes, wanted, records = self._votes(documents, asked)
            kept += (records.scores > _HALF).float().tolist()
            for vote, want, question in zip(votes, wanted, asked, strict=True):
                length = int(want[:, :END].sum()) or _SHORTEST
                least = vote[:length].amax(-1).min().item()
                used = want.sum(-1) > 0
                hit = bool((vote.argmax(-1) == want.argmax(-1))[used].all())
                if question.fact is None:
                    absent.append(least)
                else:
                    found = hit and least >= self._head.options.least_vote
                    (by_kind if question.by_kind else named).append(float(found))
                    if hit and not question.by_kind:
                        right.append(least)
        leaks = int((self._scores_of_others() > 0).sum())
        return {
            "right": _mean(named),
            "right_by_kind": _mean(by_kind),
            "least_5_percent": torch.tensor(right or [0.0]).quantile(0.05).item(),
            "highest_5_percent": torch.tensor(absent or [0.0]).quantile(0.95).item(),
            "kept": _mean(kept),
            "leaks": leaks / max(1, len(self._others)),
        }

    def _train_step(self) -> dict[str, float]:
        recipe = self._recipe
        for group in self._optimizer.param_groups:
            group["lr"] = recipe.rate * _share_of_rate(self.step, recipe.steps)
        torch.manual_seed(
            self._seed * 1_000_003 + self.step
        )  # of the dropout, wherever a run was taken up
        self._head.train()
        losses = self._losses()
        self._head.eval()
        total = torch.stack(list(losses.values())).sum()
        self._optimizer.zero_grad()
        total.backward()  # type: ignore[no-untyped-call] # torch
        torch.nn.utils.clip_grad_norm_(self._head.parameters(), 1.0)
        self._optimizer.step()
        self.step += 1
        return {name: loss.item() for name, loss in losses.items()}

    def _losses(self) -> dict[str, Tensor]:
        recipe = self._recipe
        documents, asked = self._training.draw(self.step, recipe.documents)
        votes, wanted, records = self._votes(documents, asked)
        generator = torch.Generator().manual_seed(self._seed * 1_000_003 + self.step)
        rows = self._hardness.multinomial(recipe.others, replacement=True, generator=generator)
        errors = (votes - wanted).square().sum((1, 2)) / self._head.options.slots
        shares = torch.tensor([recipe.by_kind if q.by_kind else 1.0 for q in asked])
        left = self._head.scores(self._others.take(rows).to(self._device))
        return {
            "read": (errors * shares.to(errors.device)).mean(),
            "keep": F.relu(recipe.keep - records.scores).square().mean(),
            "leave": F.relu(left - recipe.leave).square().mean(),
        }

    def _votes(
        self, documents: list[list[int]], asked: list[Asked]
    ) -> tuple[Tensor, Tensor, Records]:
        """Write each document's facts, ask, and return votes, what they should be, and the records.

        Written with full weight here, whatever the gate says: gate and addresses learn at the same time. Solved over
        a document's few records, (A^T A + ridge I)^-1 A^T V = A^T (A A^T + ridge I)^-1 V, not over the whole code.
        """
        head, stated = self._head, self._material.stated
        rows = [[r for f in facts for r in self._material.rows[f]] for facts in documents]
        flat = torch.tensor([row for part in rows for row in part])
        records = head.records(stated.windows.take(flat).to(self._device))
        values = head.values([stated.digits[row] for part in rows for row in part])
        sizes = [len(part) for part in rows]
        questions = self._material.questions
        at = torch.tensor([question.row for question in asked])
        sought = head.asked_of(
            questions.states[at].float().to(self._device),
            questions.ids[at].to(self._device),
            questions.present[at].to(self._device),
        )
        solved = []
        for address, value in zip(
            torch.split(records.addresses, sizes), torch.split(values, sizes), strict=True
        ):
            gram = address @ address.T
            regular = gram + head.options.ridge * torch.eye(len(gram), device=self._device)
            solved.append(address.T @ torch.linalg.solve(regular, value))
        votes = torch.stack(
            [row @ solved[question.document] for row, question in zip(sought, asked, strict=True)]
        ).view(len(asked), head.options.slots, SYMBOLS)
        facts = self._material.facts
        wanted = head.values(["" if q.fact is None else facts[q.fact].digits for q in asked])
        is_known = torch.tensor([q.fact is not None for q in asked], device=self._device)
        return votes, (wanted * is_known[:, None]).view_as(votes), records

    @torch.no_grad()
    def _scores_of_others(self) -> Tensor:
        parts = []
        for start in range(0, len(self._others), _LOOKED_AT_ONCE):
            part = self._others.take(slice(start, start + _LOOKED_AT_ONCE))
            parts.append(self._head.scores(part.to(self._device)).cpu())
        return torch.cat(parts)

    def _mine(self) -> None:
        """Draw numbers that are nearly written, or are, up to ten times as often as those far from it."""
        self._hardness = (self._scores_of_others() + 1.75).clamp(0.25, 2.5)

    def _save(self) -> None:
        state = {
            "run": self._identity,
            "step": self.step,
            "head": self._head.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "hardness": self._hardness,
        }
        save_whole(state, self._file)

    def _resume(self) -> None:
        state: dict[str, Any] = torch.load(self._file, self._device, weights_only=True)
        if state["run"] != self._identity:
            raise FitError(f"{self._file} is of another run; use another folder")
        self.step = state["step"]
        self._head.load_state_dict(state["head"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._hardness = state["hardness"].cpu()

    @property
    def _identity(self) -> dict[str, Any]:
        """What must be the same for a checkpoint to be taken up."""
        return {
            "recipe": asdict(self._recipe),
            "options": self._head.options.as_dict(),
            "seed": self._seed,
            "facts": len(self._material.facts),
            "others": len(self._others),
        }


def _mean(hits: list[float]) -> float:
    return sum(hits) / max(1, len(hits))


def _share_of_rate(step: int, steps: int) -> float:
    """Return the share of the highest rate: up in 30 steps, then down a cosine to 0.02."""
    return min(1.0, (step + 1) / 30) * (0.51 + 0.49 * math.cos(math.pi * step / steps))
