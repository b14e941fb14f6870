"""Adapters: what a variant has of its own on a shared frozen base, as safetensors files."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast, get_args

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from models.config import ScoreName
from models.errors import WeightsError

FORMAT: Final = "longstream-adapter-1"
_COUNT_DIGITS: Final = 6  # no encoder has a million layers
_ADAPTABLE = re.compile(r"blocks\.\d+\.attention(_norm)?\.|reader\.")


@dataclass(frozen=True, slots=True)
class AdapterHeader:
    """What an adapter file says of itself.

    Attributes:
        attention: Variant it belongs to.
        base: sha256 of the base it was trained on, as `LoadedEncoder.base_sha256`.
        score: Score function it was trained with.
        memory_from: First layer with a memory; 0 where the file is silent.
        memory_rank: Rank of what it adds to the projections on the memory's side; 0 where the file is silent.
    """

    attention: str
    base: str
    score: ScoreName
    memory_from: int = 0
    memory_rank: int = 0


def adapter_parameters(encoder: nn.Module) -> Mapping[str, nn.Parameter]:
    """Return what an adapter may hold: attention, the norm after it, and the reader; all else is the base's."""
    return {name: p for name, p in encoder.named_parameters() if _ADAPTABLE.match(name)}


def save_adapter(tensors: Mapping[str, Tensor], header: AdapterHeader, file: Path) -> None:
    """Write an adapter in half precision, half the bytes of what it was trained in.

    Args:
        tensors: By the encoder's parameter names.
        header: Goes into the file's metadata.
        file: Is replaced if it exists.

    Raises:
        WeightsError: a tensor has a value that half precision cannot hold.
    """
    half = {name: tensor.detach().half().contiguous() for name, tensor in tensors.items()}
    beyond = [name for name, tensor in half.items() if not tensor.isfinite().all()]
    if beyond:
        raise WeightsError(f"beyond half precision: {', '.join(beyond)}")
    metadata = {
        "format": FORMAT,
        "attention": header.attention,
        "base": header.base,
        "score": header.score,
        "memory_from": str(header.memory_from),
        "memory_rank": str(header.memory_rank),
    }
    save_file(half, file, metadata)


def read_header(file: Path) -> AdapterHeader:
    """Read what an adapter file says of itself.

    Raises:
        WeightsError: not a readable adapter.
    """
    with _opened(file) as content:
        metadata = content.metadata() or {}  # type: ignore[no-untyped-call] # safetensors
    if metadata.get("format") != FORMAT or metadata.get("score") not in get_args(ScoreName):
        raise WeightsError(f"{file.name} is not a longstream adapter of this version")
    try:
        return AdapterHeader(
            metadata["attention"],
            metadata["base"],
            cast("ScoreName", metadata["score"]),
            _count(metadata.get("memory_from", "0")),
            _count(metadata.get("memory_rank", "0")),
        )
    except KeyError as error:
        raise WeightsError(f"{file.name} does not say its {error.args[0]}") from error
    except ValueError as error:
        raise WeightsError(f"{file.name} is not a longstream adapter: {error}") from error


def _count(written: str) -> int:
    if not (written.isascii() and written.isdecimal() and len(written) <= _COUNT_DIGITS):
        raise ValueError(f"{written[:20]!r} is not a number of layers or a rank")
    return int(written)


def load_adapter(encoder: nn.Module, file: Path, own: set[str]) -> None:
    """Put an adapter's tensors, as float32, in the place of the base's.

    Args:
        encoder: Built with the adapter's score function, the base loaded.
        file: The adapter.
        own: Parameters the base does not have; the adapter must bring all of them.

    Raises:
        WeightsError: names every tensor that is missing, may not be in an adapter, or has another shape.
    """
    with _opened(file) as content:
        names = content.keys()  # type: ignore[no-untyped-call] # safetensors
        tensors: dict[str, Tensor] = {
            name: content.get_tensor(name)  # type: ignore[no-untyped-call] # safetensors
            for name in names
        }
    parameters = adapter_parameters(encoder)
    problems = [f"missing {name}" for name in sorted(own - set(tensors))]
    for name, tensor in sorted(tensors.items()):
        if name not in parameters:
            problems.append(f"unexpected {name}")
        elif not tensor.isfinite().all():
            problems.append(f"{name} is not finite")
        elif tensor.shape != parameters[name].shape:
            shapes = f"{list(tensor.shape)}, should be {list(parameters[name].shape)}"
            problems.append(f"{name} is {shapes}")
    if problems:
        raise WeightsError(f"{file.name}: " + "; ".join(problems))
    full = {name: tensor.float() for name, tensor in tensors.items()}
    encoder.load_state_dict(full, strict=False, assign=True)


@contextmanager
def _opened(file: Path) -> Iterator[safe_open]:
    try:
        with safe_open(file, "pt") as content:
            yield content
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"cannot read adapter {file.name}: {error}") from error
