"""The training loop: one optimiser step at a time, each reproducible, stopped and taken up again at will."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from models.encoder import Encoder
from models.errors import FitError
from models.fit.batches import TrainingText
from models.fit.losses import (
    contrast_loss,
    layer_loss,
    relation_loss,
    sentence_loss,
    similarity_loss,
)
from models.fit.optimizers import optimizers, set_rates, share_of_rate
from models.fit.recipes import Recipe
from models.fit.run_files import append_row, forget_after, save_whole
from models.fit.taps import tap, warm_up_loss
from models.packing import Segment
from models.weights import adapter_parameters, published_names


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a run stands.

    Attributes:
        step: Steps done.
        steps: Steps of the whole run.
        figures: Name to value: losses of the last step, or the held-out agreement.
    """

    step: int
    steps: int
    figures: Mapping[str, float]


class Trainer:
    """Trains a student's adapter beside its teacher.

    Args:
        student: Encoder whose attention parameters are trained; everything else is the teacher's and stays.
        teacher: Encoder to agree with, or not to drift from.
        batches: Training text.
        recipe: What to train and how.
        folder: Where the run's log and checkpoint lie; a checkpoint found there is taken up.
    """

    def __init__(
        self,
        student: Encoder,
        teacher: Encoder,
        batches: TrainingText,
        recipe: Recipe,
        folder: Path,
    ) -> None:
        self._student, self._teacher = student, teacher
        self._batches, self._recipe, self._folder = batches, recipe, folder
        self._device = next(student.parameters()).device
        self.steps = math.ceil(recipe.tokens / recipe.step_tokens)
        self._warm_up = math.ceil(recipe.warm_up_tokens / recipe.step_tokens)
        student.requires_grad_(requires_grad=False)
        self.parameters = _trained(student, own_only=recipe.own_only)
        for parameter in self.parameters.values():
            parameter.requires_grad_()
        self._optimizers = optimizers(self.parameters, recipe)
        self.step = 0
        folder.mkdir(parents=True, exist_ok=True)
        if self._checkpoint.exists():
            self._resume()

    @property
    def _checkpoint(self) -> Path:
        return self._folder / "checkpoint.pt"

    def run(
        self,
        until: float = math.inf,
        save_every_s: float = 120.0,
        report: Callable[[Progress], None] = lambda _: None,
    ) -> None:
        """Train to the end, or until a point in time; checkpoint on the way and at the end.

        Args:
            until: `time.monotonic()` at which to stop.
            save_every_s: Seconds between checkpoints; each comes with a held-out measurement.
            report: Called after every step; its losses carry the recipe's weights.
        """
        saved = time.monotonic()
        while self.step < self.steps and time.monotonic() < until:
            figures = self._train_step()
            log = "warm_up.csv" if "warm_up" in figures else "train.csv"
            append_row(self._folder / log, self.step, figures)
            if time.monotonic() - saved > save_every_s:
                self._save()
                saved = time.monotonic()
            report(Progress(self.step, self.steps, figures))
        self._save()

    def agreement(self) -> dict[str, float]:
        """Measure the sentence vectors' agreement with the teacher on held-out text, in full precision.

        To see how a run goes, not to report: what is held out are items, whose document may be trained on.
        """
        cosines = []
        for start in range(0, len(self._batches.held_out), 64):
            part = self._batches.held_out[start : start + 64]
            with torch.inference_mode():
                ours, theirs = (_vectors(e, part) for e in (self._student, self._teacher))
            cosines.append((ours * theirs).sum(-1))
        cosine = torch.cat(cosines)
        return {"cosine": cosine.mean().item(), "cosine_p5": cosine.quantile(0.05).item()}

    def _train_step(self) -> dict[str, float]:
        rate = share_of_rate(self.step, self._warm_up, self.steps)
        set_rates(self._optimizers, rate)
        begun = time.monotonic()
        segments = self._batches.batch(self.step)
        losses = self._losses(segments)
        total = sum(losses.values(), torch.zeros((), device=self._device))
        total.backward()  # type: ignore[no-untyped-call] # torch
        torch.nn.utils.clip_grad_norm_(list(self.parameters.values()), 1.0)
        for optimizer in self._optimizers:
            optimizer.step()
            optimizer.zero_grad()
        self.step += 1
        tokens = sum(len(segment.ids) for segment in segments)
        figures = {name: loss.item() for name, loss in losses.items()}
        return {
            "length": float(len(segments[0].ids)),
            "rate": rate,
            **figures,
            "tokens_per_s": tokens / (time.monotonic() - begun),
        }

    def _losses(self, segments: Sequence[Segment]) -> dict[str, Tensor]:
        # On a CPU torch's fused kernel is slow backwards in bf16; the plain one is four times as fast.
        kernel = sdpa_kernel(SDPBackend.MATH) if self._device.type == "cpu" else nullcontext()
        with torch.autocast(self._device.type, torch.bfloat16), kernel:
            if self._recipe.pairs:
                return self._pair_losses(segments)
            if self.step < self._warm_up:
                return {"warm_up": warm_up_loss(self._student, self._teacher, segments)}
            with torch.no_grad():
                teacher = tap(self._teacher, segments)
            student = tap(self._student, segments)
        recipe = self._recipe
        weighted = {
            "sentence": (recipe.sentence, sentence_loss),
            "similarity": (recipe.similarity, similarity_loss),
            "layers": (recipe.layers, layer_loss),
            "relations": (recipe.relations, relation_loss),
        }
        return {name: w * loss(student, teacher) for name, (w, loss) in weighted.items() if w}

    def _pair_losses(self, segments: Sequence[Segment]) -> dict[str, Tensor]:
        with torch.no_grad():
            theirs = _vectors(self._teacher, segments)
        ours = _vectors(self._student, segments)
        queries, passages = ours.chunk(2)
        drift = 1 - (ours * theirs).sum(-1).mean()
        return {"contrast": contrast_loss(queries, passages), "drift": self._recipe.drift * drift}

    def _save(self) -> None:
        append_row(self._folder / "held_out.csv", self.step, self.agreement())
        state = {
            "run": self._identity,
            "step": self.step,
            "parameters": {name: p.detach() for name, p in self.parameters.items()},
            "optimizers": [optimizer.state_dict() for optimizer in self._optimizers],
        }
        save_whole(state, self._checkpoint)

    def _resume(self) -> None:
        state: dict[str, Any] = torch.load(self._checkpoint, self._device, weights_only=True)
        if state["run"] != self._identity:
            raise FitError(
                f"{self._checkpoint} is of a run with another recipe, seed or text; use another folder"
            )
        self.step = state["step"]
        for file in ("warm_up.csv", "train.csv", "held_out.csv"):
            forget_after(self._folder / file, self.step)
        with torch.no_grad():
            for name, parameter in self.parameters.items():
                parameter.copy_(state["parameters"][name])
        for optimizer, kept in zip(self._optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(kept)

    @property
    def _identity(self) -> dict[str, Any]:
        """What must be the same for a checkpoint to be taken up: or what was held out would be trained on."""
        text = self._batches
        return {"recipe": asdict(self._recipe), "seed": text.seed, "text_tokens": text.tokens}


def _trained(student: Encoder, *, own_only: bool) -> Mapping[str, torch.nn.Parameter]:
    base = set(published_names(student.config.layers)) if own_only else set()
    return {name: p for name, p in adapter_parameters(student).items() if name not in base}


def _vectors(encoder: Encoder, segments: Sequence[Segment]) -> Tensor:
    memories = [encoder.empty_memory() for _ in segments] if encoder.has_memory else None
    return torch.nn.functional.normalize(encoder(segments, memories).sums, dim=-1)
