"""The training loop of a memory: seeded, logged, stopped and taken up again at will."""

import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from models.errors import FitError
from models.fit.run_files import append_row, forget_after, save_whole

FIRST_STEPS: Final = 20
LEAST_RATE: Final = 0.05
"""Steps over which the rates rise; the share of the highest that they end at."""


@runtime_checkable
class Objective(Protocol):
    """What a run trains, and what for.

    Attributes:
        parameters: What is trained, by name.
        identity: What must be the same for a checkpoint to be taken up.
    """

    parameters: Mapping[str, nn.Parameter]
    identity: Mapping[str, Any]

    def losses(self, step: int) -> Mapping[str, Tensor]:
        """Return the losses of a step, weighted; the step depends on the seed and its number alone."""
        ...

    def figures(self) -> Mapping[str, float]:
        """Return what else a log should show of the parameters."""
        ...

    def state_dict(self) -> Mapping[str, Any]:
        """Return what a later step needs of the earlier ones."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""
        ...


class ContextTrainer:
    """Trains what of an encoder acts behind a non-empty memory; all else stays, so an empty memory changes nothing.

    Args:
        objective: What is trained, and what for.
        steps: Steps of the whole run.
        rates: Highest learning rate of each parameter.
        folder: Where the run's log and checkpoint lie; a checkpoint found there is taken up.

    Raises:
        FitError: the checkpoint is of another run.
    """

    def __init__(
        self,
        objective: Objective,
        steps: int,
        rates: Mapping[str, float],
        folder: Path,
    ) -> None:
        self._objective, self._steps, self._folder = objective, steps, folder
        self.parameters = objective.parameters
        self._device = next(iter(self.parameters.values())).device
        for parameter in self.parameters.values():
            parameter.requires_grad_()
        groups = [
            {"params": [parameter], "lr": rates[name], "highest": rates[name]}
            for name, parameter in self.parameters.items()
        ]
        self._optimizer = torch.optim.AdamW(groups, weight_decay=0.0)
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
        report: Callable[[int, Mapping[str, float]], None] = lambda _step, _figures: None,
    ) -> None:
        """Train to the end, or until a point in time; checkpoint on the way and at the end.

        Args:
            until: `time.monotonic()` at which to stop.
            save_every_s: Seconds between checkpoints.
            report: Called after every step with its losses.
        """
        saved = time.monotonic()
        while self.step < self._steps and time.monotonic() < until:
            figures = self._train_step()
            append_row(self._log_file, self.step, figures)
            report(self.step, figures)
            if time.monotonic() - saved > save_every_s:
                self._save()
                saved = time.monotonic()
        self._save()

    def _train_step(self) -> dict[str, float]:
        share = _share_of_rate(self.step, self._steps)
        for group in self._optimizer.param_groups:
            group["lr"] = share * group["highest"]
        begun = time.monotonic()
        losses = self._objective.losses(self.step)
        total = sum(losses.values(), torch.zeros((), device=self._device))
        total.backward()  # type: ignore[no-untyped-call] # torch
        torch.nn.utils.clip_grad_norm_(list(self.parameters.values()), 1.0)
        self._optimizer.step()
        self._optimizer.zero_grad()
        self.step += 1
        return {
            **{name: loss.item() for name, loss in losses.items()},
            **self._objective.figures(),
            "rate": share,
            "seconds": time.monotonic() - begun,
        }

    def _save(self) -> None:
        state = {
            "run": self._identity,
            "step": self.step,
            "parameters": {name: p.detach() for name, p in self.parameters.items()},
            "optimizer": self._optimizer.state_dict(),
            "objective": self._objective.state_dict(),
        }
        save_whole(state, self._checkpoint)

    def _resume(self) -> None:
        state: dict[str, Any] = torch.load(self._checkpoint, self._device, weights_only=True)
        if state["run"] != self._identity:
            raise FitError(
                f"{self._checkpoint} is of a run with another recipe, seed or data; use another folder"
            )
        kept = {name: tensor.shape for name, tensor in state["parameters"].items()}
        if kept != {name: parameter.shape for name, parameter in self.parameters.items()}:
            raise FitError(
                f"{self._checkpoint} is of a run of other parameters; use another folder"
            )
        self.step = state["step"]
        with torch.no_grad():
            for name, parameter in self.parameters.items():
                parameter.copy_(state["parameters"][name])
        self._optimizer.load_state_dict(state["optimizer"])
        self._objective.load_state_dict(state["objective"])
        forget_after(self._log_file, self.step)

    @property
    def _identity(self) -> dict[str, Any]:
        """What must be the same for a checkpoint to be taken up."""
        return {"steps": self._steps, **self._objective.identity}

    @property
    def _log_file(self) -> Path:
        return self._folder / "train.csv"


def _share_of_rate(step: int, steps: int) -> float:
    """Return the share of the highest rates at a step: up in a few steps, then along a cosine down."""
    fall = LEAST_RATE + (1 - LEAST_RATE) * (1 + math.cos(math.pi * step / steps)) / 2
    return fall * min(1.0, (step + 1) / FIRST_STEPS)
