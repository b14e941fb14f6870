"""What the two stages train: memory inside the layers through the encoder, the reader over kept states."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import asdict
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from models.fit.context.contrast import Candidates, Queue, contrast
from models.fit.context.draws import Draw, Draws
from models.fit.context.reading import read_alone, read_together
from models.fit.context.recipes import STANDING_ALONE, Stage
from models.fit.context.states import States
from models.loading import LoadedEncoder
from models.reader import ContextReader

_SEEDS: Final = 1_000_003
"""More steps than a run has, so that no two runs share what they drop."""


class _Contrast(ABC):
    """What both stages share: queries against chunks, and the chunks of earlier steps.

    Args:
        model: The encoder that is trained; its empty memory encodes queries.
        draws: Training steps.
        stage: How to train.
        parameters: What is trained.
    """

    def __init__(
        self,
        model: LoadedEncoder,
        draws: Draws,
        stage: Stage,
        parameters: Mapping[str, nn.Parameter],
    ) -> None:
        self.parameters = parameters
        self.identity: Mapping[str, Any] = {
            "stage": asdict(stage),
            "seed": draws.seed,
            "sets": draws.names,
        }
        self._model, self._draws, self._stage = model, draws, stage
        self._device = next(iter(parameters.values())).device
        self._queue = Queue(model.encoder.config.width)

    def losses(self, step: int) -> Mapping[str, Tensor]:
        """Return the losses of a step, weighted."""
        with torch.random.fork_rng(devices=[]):
            # What is dropped in a step does not depend on whether the run was taken up before it.
            torch.manual_seed(_SEEDS * self._draws.seed + step)
            return self._losses(step)

    def _losses(self, step: int) -> Mapping[str, Tensor]:
        draw = self._draws.draw(step)
        # On a CPU torch's fused kernel is slow backwards in bf16; the plain one is four times as fast.
        kernel = sdpa_kernel(SDPBackend.MATH) if self._device.type == "cpu" else nullcontext()
        with torch.autocast(self._device.type, torch.bfloat16), kernel:
            vectors = self._read(draw)
            asked = [text for reading in draw.readings for text in reading.queries]
            queries = read_alone(self._model.encoder, self._model.tokenizer, asked)
            alone = self._read_without(draw) if draw.name in STANDING_ALONE else None
        candidates = _candidates(draw, vectors)
        ranked = torch.tensor(
            [reading.span.document for reading in draw.readings], device=self._device
        )
        found = contrast(queries, candidates, self._queue.others(draw.name, ranked))
        self._queue.add(draw.name, vectors, ranked[candidates.documents])
        weight = self._stage.sequence
        losses = {"sequence": weight * found["sequence"], "batch": (1 - weight) * found["batch"]}
        drift = vectors.new_zeros(()) if alone is None else 1 - (vectors * alone).sum(-1).mean()
        return {**losses, "drift": self._stage.drift * drift}

    def figures(self) -> Mapping[str, float]:
        """Return the mean gate of each layer: a memory not listened to shows here."""
        return {
            f"gate_{name.split('.')[1]}": torch.sigmoid(p.detach()).mean().item()
            for name, p in self.parameters.items()
            if name.endswith(".beta")
        }

    def state_dict(self) -> Mapping[str, Any]:
        """Return the chunks of earlier steps."""
        return self._queue.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on with them."""
        self._queue.load_state_dict(state)

    @abstractmethod
    def _read(self, draw: Draw) -> Tensor:
        """Return the chunk vectors of a step, unit length, *shape* (c, d)."""

    @abstractmethod
    def _read_without(self, draw: Draw) -> Tensor:
        """Return the same vectors without what is trained; no gradients."""


class ThroughEncoder(_Contrast):
    """Trains memory inside the layers: gradients go back through every segment of a reading."""

    def _read(self, draw: Draw) -> Tensor:
        return read_together(self._model.encoder, self._model.tokenizer, draw.readings)

    def _read_without(self, draw: Draw) -> Tensor:
        texts = [chunk for reading in draw.readings for chunk in reading.span.chunks]
        return read_alone(self._model.encoder, self._model.tokenizer, texts)


class OverStates(_Contrast):
    """Trains the reader over token states that are computed once a document: nothing below it changes.

    Args:
        model: Its encoder's reader is trained.
        draws: Training steps.
        stage: How to train.
        parameters: The reader's, by their names in the encoder.
        states: Where token states come from.

    Raises:
        TypeError: the variant has no reader.
    """

    def __init__(
        self,
        model: LoadedEncoder,
        draws: Draws,
        stage: Stage,
        parameters: Mapping[str, nn.Parameter],
        states: States,
    ) -> None:
        super().__init__(model, draws, stage, parameters)
        reader = model.encoder.reader
        if reader is None:
            raise TypeError(f"{model.attention} has no reader to train")
        self._reader: ContextReader = reader
        self._states = states

    def _read(self, draw: Draw) -> Tensor:
        self._reader.train()
        try:
            with torch.autocast(self._device.type, enabled=False):
                return self._states.read(self._reader, draw)
        finally:
            self._reader.eval()

    @torch.no_grad()
    def _read_without(self, draw: Draw) -> Tensor:
        with torch.autocast(self._device.type, enabled=False):
            return self._states.read(None, draw)


def _candidates(draw: Draw, vectors: Tensor) -> Candidates:
    owner = [i for i, reading in enumerate(draw.readings) for _ in reading.span.chunks]
    asked = [i for i, reading in enumerate(draw.readings) for _ in reading.queries]
    gold = torch.zeros(len(asked), len(owner), dtype=torch.bool)
    first, query = 0, 0
    for reading in draw.readings:
        for places in reading.gold:
            gold[query, [first + place for place in places]] = True
            query += 1
        first += len(reading.span.chunks)
    device = vectors.device
    return Candidates(
        vectors,
        torch.tensor(owner, device=device),
        gold.to(device),
        torch.tensor(asked, device=device),
    )
