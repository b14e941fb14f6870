"""Recall heads as safetensors files, tied to the base they were trained on."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from models.checkpoints import packaged
from models.errors import WeightsError
from models.recall.head import RecallHead
from models.recall.numbers import NumberPieces
from models.recall.options import RecallOptions

FORMAT: Final = "longstream-recall-1"


@dataclass(frozen=True, slots=True)
class RecallHeader:
    """What a recall file says of itself.

    Attributes:
        base: sha256 of the base it was trained on, as `LoadedEncoder.base_sha256`.
        options: Shapes and thresholds.
        pieces: The number pieces of the base's vocabulary.
    """

    base: str
    options: RecallOptions
    pieces: NumberPieces


def save_recall(head: RecallHead, base: str, file: Path) -> None:
    """Write a head in half precision; `file` is replaced if it exists.

    Raises:
        WeightsError: a tensor has a value that half precision cannot hold.
    """
    half = {name: x.detach().half().cpu().contiguous() for name, x in head.state_dict().items()}
    beyond = [name for name, tensor in half.items() if not tensor.isfinite().all()]
    if beyond:
        raise WeightsError(f"beyond half precision: {', '.join(beyond)}")
    metadata = {
        "format": FORMAT,
        "base": base,
        "options": json.dumps(head.options.as_dict()),
        "pieces": json.dumps({str(i): piece for i, piece in head.pieces.pieces.items()}),
    }
    save_file(half, file, metadata)


def read_recall_header(file: Path) -> RecallHeader:
    """Read what a recall file says of itself.

    Raises:
        WeightsError: not a readable recall head of this version.
    """
    try:
        with safe_open(file, "pt") as content:
            metadata = content.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"cannot read recall head {file.name}: {error}") from error
    if metadata.get("format") != FORMAT:
        raise WeightsError(f"{file.name} is not a recall head of this version")
    try:
        return RecallHeader(
            metadata["base"],
            RecallOptions.from_dict(json.loads(metadata["options"])),
            _pieces(json.loads(metadata["pieces"])),
        )
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise WeightsError(f"{file.name}: its header is broken: {error!r}") from error


def load_recall(file: Path, base_sha256: str) -> RecallHead:
    """Load a head, frozen and in evaluation mode.

    Args:
        file: What `save_recall` wrote.
        base_sha256: Fingerprint of the base whose states it will read.

    Raises:
        WeightsError: the file is no recall head, of another base, or its tensors do not fit; names every problem.
    """
    header = read_recall_header(file)
    if header.base != base_sha256:
        raise WeightsError(
            f"{file.name} was trained on another base (sha256 {header.base[:12]}, these weights are {base_sha256[:12]})"
        )
    head = RecallHead(header.options, header.pieces)
    tensors, wanted = load_file(file), head.state_dict()
    problems = [f"missing {name}" for name in sorted(set(wanted) - set(tensors))]
    problems += [f"unexpected {name}" for name in sorted(set(tensors) - set(wanted))]
    for name in sorted(set(tensors) & set(wanted)):
        if tensors[name].shape != wanted[name].shape:
            shapes = f"{list(tensors[name].shape)}, should be {list(wanted[name].shape)}"
            problems.append(f"{name} is {shapes}")
        elif not tensors[name].isfinite().all():
            problems.append(f"{name} is not finite")
    if problems:
        raise WeightsError(f"{file.name}: " + "; ".join(problems))
    head.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})
    return head.eval().requires_grad_(requires_grad=False)


def packaged_recall(base_sha256: str, plain_layers: int) -> RecallHead | None:
    """Load the head that comes with longstream, or return None if it was trained on another base.

    Args:
        base_sha256: Digest of the base's tensors.
        plain_layers: Layers, from the first, that are the base's own whatever was read.

    Raises:
        WeightsError: As `load_recall`; or the head reads layers that heed what was read, while questions are asked of
            the base's own.
    """
    file = packaged("recall", "safetensors")
    if file is None or read_recall_header(file).base != base_sha256:
        return None
    head = load_recall(file, base_sha256)
    if plain_layers < head.options.layer:
        raise WeightsError(
            f"the recall head reads the output of {head.options.layer} layers, and the adapter changes layers from "
            f"{plain_layers} on: train it with memory_from >= {head.options.layer}"
        )
    return head


def _pieces(content: Any) -> NumberPieces:
    return NumberPieces({int(token): piece + "" for token, piece in content.items()})
