"""Making a loaded encoder ready for inference, in the precision that is asked for."""

import hashlib
from dataclasses import replace
from typing import Final

import torch

from models.config import Precision
from models.encoder import Encoder
from models.errors import PrecisionError
from models.loading import LoadedEncoder
from models.prepared import has_onednn

_BF16_CAPABILITIES: Final = ("avx512_bf16", "amx_bf16")


def ready(loaded: LoadedEncoder, precision: Precision = "fp32") -> LoadedEncoder:
    """Make an encoder ready for inference: the same one, with another fingerprint unless it is `fp32`.

    What it learns, or where it is moved, afterwards is not seen. A precision is part of what a model computes, so a
    session that was begun in one is not carried on in another; and a card's figures are those of float32.

    Raises:
        PrecisionError: the encoder's device has no instructions for it.
    """
    prepare(loaded.encoder, precision)
    if precision == "fp32":
        return loaded
    digest = hashlib.sha256(f"{precision}\n{loaded.fingerprint}".encode())
    return replace(loaded, precision=precision, fingerprint=digest.hexdigest(), evaluation={})


def prepare(encoder: Encoder, precision: Precision) -> None:
    """Lay out the linear layers of an encoder for inference.

    Raises:
        PrecisionError: its device has no instructions for the precision.
    """
    require_precision(precision, encoder.device)
    for block in encoder.layers:
        block.prepare(precision)


def require_precision(precision: Precision, device: torch.device) -> None:
    """Refuse a precision that a device has no instructions for: emulated, it would be slower than float32.

    Raises:
        PrecisionError: says which to use instead.
    """
    if precision == "fp32":
        return
    if device.type == "cuda":
        able = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        found = torch.cpu.get_capabilities()
        able = has_onednn() and any(map(found.get, _BF16_CAPABILITIES))
    if not able:
        raise PrecisionError(
            f"this {device.type} has no instructions for precision bf16 (a CPU needs avx512_bf16 or amx_bf16), "
            "and would be slower in it than in float32: set the model's precision to fp32"
        )
