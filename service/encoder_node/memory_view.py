"""What a session's memory holds: norms, ranks, gates; looked at on a thread beside the engine's."""

import asyncio
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Final, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.attention.infini import InfiniAttention
from models.encoder import Encoder
from models.memory import Memory
from models.memory.figures import norms, spectra
from models.recall import GRAM
from service.errors import Unavailable
from service.ports import MemoryCommand, MemoryResult, PartFigures, StageTimes
from service.sessions.append_tools import AppendTools
from service.sessions.snapshots import snapshot

MOST_AT_ONCE: Final = 8
"""Memories of a replica that are looked at, or wait for it; more are refused."""
_MATRIX_AXES: Final = 2
_SEGMENTS: Final = "reader.segments"

_Axes: TypeAlias = tuple[str, ...]


class MemoryView:
    """Describes memories of sessions, one at a time on a thread of its own.

    Args:
        encoder: The model.
        sessions: What the replica's appends work with.
    """

    def __init__(self, encoder: Encoder, sessions: AppendTools) -> None:
        self._sessions = sessions
        infini = {
            i: block.attention
            for i, block in enumerate(encoder.layers)
            if isinstance(block.attention, InfiniAttention)
        }
        self._layers = tuple(infini)
        self._gates = _gates(infini.values())
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="memory-view")
        self._at_once = 0
        self._closed = False

    def close(self) -> None:
        """Finish what runs or waits; what comes later is refused."""
        self._closed = True
        self._thread.shutdown(wait=True)

    async def describe(self, command: MemoryCommand) -> MemoryResult:
        """Describe a session's memory as of one moment; it stays as it is.

        Raises:
            NotFound, Gone, Conflict, Unavailable: as `service.ports.EncoderPort.memory`.
        """
        if self._closed:
            raise Unavailable("draining", "The replica is stopping; send the request again.")
        with self._place():
            whole = await snapshot(self._sessions, command.tenant, command.session_id)
            memory = whole.state.memory
            parts = await asyncio.get_running_loop().run_in_executor(
                self._thread, _described, memory
            )
        return MemoryResult(
            next_seq=whole.record.next_seq,
            etag=whole.record.etag,
            tokens_seen=memory.tokens_seen,
            nbytes=memory.nbytes,
            layers=self._layers,
            gates=self._gates,
            parts=parts,
            segments=_segments(memory),
            numbers=_numbers(memory),
            times=StageTimes(persist=whole.persist_s),
        )

    @contextmanager
    def _place(self) -> Iterator[None]:
        if self._at_once >= MOST_AT_ONCE:
            raise Unavailable("overloaded", "Too many requests look at memories; try again.")
        self._at_once += 1
        try:
            yield
        finally:
            self._at_once -= 1


def _gates(attentions: Iterable[InfiniAttention]) -> NDArray[np.float32] | None:
    """Return how much each head takes from memory, (layers, heads); it is the model's, whatever was read."""
    betas = [one.beta.detach() for one in attentions]
    if not betas:
        return None
    gates: NDArray[np.float32] = torch.sigmoid(torch.stack(betas)).cpu().numpy()
    return gates


def _described(memory: Memory) -> tuple[PartFigures, ...]:
    with torch.inference_mode():
        return tuple(_figures(name, part.cpu()) for name, part in sorted(memory.parts.items()))


def _figures(name: str, part: Tensor) -> PartFigures:
    axes, matrices = _layout(name, part.ndim)
    rank = saturation = None
    if matrices:
        rank, saturation = map(_float32, spectra(part))
    return PartFigures(
        name=name,
        shape=tuple(part.shape),
        axes=axes,
        norm=_float32(norms(part, len(axes))),
        effective_rank=rank,
        saturation=saturation,
    )


def _layout(name: str, ndim: int) -> tuple[_Axes, bool]:
    """Return which axes of a part are told apart, and whether what is left are matrices.

    The attention's parts have a layer and a head in front (`models.memory.state`), the reader's heads in front of their
    matrices or vectors, and the recall head's are matrices.
    """
    if "." not in name:
        return ("layer", "head"), ndim == len(("layer", "head")) + _MATRIX_AXES
    if name in {"reader.values", "reader.weights"}:
        return ("head",), ndim == len(("head",)) + _MATRIX_AXES
    return (), ndim == _MATRIX_AXES


def _segments(memory: Memory) -> int | None:
    part = memory.parts.get(_SEGMENTS)
    return None if part is None else round(float(part.item()))


def _numbers(memory: Memory) -> float | None:
    """Return the trace of the recall head's Gram matrix: addresses have length 1, so it is the sum of the weights."""
    gram = memory.parts.get(GRAM)
    return None if gram is None else float(gram.double().diagonal().sum())


def _float32(tensor: Tensor) -> NDArray[np.float32]:
    array: NDArray[np.float32] = tensor.float().numpy()
    return array
