"""Strict loading: every tensor is there, none is left over, all have the right shape and type."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from models.errors import WeightsError
from models.weights.bert import UNUSED, published_names


def load_base(model: nn.Module, file: Path, layers: int) -> None:
    """Fill a model's base parameters from a published BERT checkpoint.

    Tensors are assigned, not copied: they stay views of the memory-mapped file, which all processes of a machine
    share. Parameters of the variant itself (an adapter, a gate) are not in the base and keep their values.

    Args:
        model: Encoder whose parameters carry the names of `published_names`.
        file: Safetensors file.
        layers: Layers of the model.

    Raises:
        WeightsError: names every missing, unexpected or mis-shaped tensor.
    """
    try:
        published = load_file(file)
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"cannot read {file.name}: {error}") from error
    names = published_names(layers)
    parameters = dict(model.named_parameters())
    problems = _differences(published, {names[ours]: parameters[ours] for ours in names})
    if problems:
        raise WeightsError(f"{file.name}: " + "; ".join(problems))
    tensors = {ours: published[theirs] for ours, theirs in names.items()}
    model.load_state_dict(tensors, strict=False, assign=True)


def _differences(published: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> list[str]:
    missing = sorted(set(wanted) - set(published))
    unexpected = sorted(set(published) - set(wanted) - UNUSED)
    shaped = sorted(
        f"{name} is {_describe(published[name])}, should be {_describe(wanted[name])}"
        for name in set(wanted) & set(published)
        if _describe(published[name]) != _describe(wanted[name])
    )
    return (
        [f"missing {name}" for name in missing]
        + [f"unexpected {name}" for name in unexpected]
        + shaped
    )


def _describe(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')}{list(tensor.shape)}"


def fingerprint(config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> str:
    """Return the sha256, in hex, over a configuration and every tensor's name, type, shape and bytes.

    Two models with the same fingerprint compute the same function; a session is tied to it.
    """
    digest = hashlib.sha256(json.dumps(config, sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"\n{name} {_describe(tensor)}\n".encode())
        digest.update(tensor.detach().contiguous().view(torch.uint8).numpy().data)
    return digest.hexdigest()
