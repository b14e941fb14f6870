"""Linear layers made ready for inference: fused, laid out for the kernel, in the precision that is asked for."""

import os
from collections.abc import Sequence
from typing import Final

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from models.config import Precision

_TYPES: Final = {"fp32": torch.float32, "bf16": torch.bfloat16}
_CACHES: Final = {"ONEDNN_PRIMITIVE_CACHE_CAPACITY": "192", "LRU_CACHE_CAPACITY": "16"}
"""How many products oneDNN, and torch above it, keep ready, each half a megabyte for one number of rows.

By default it is 1024 of either, so a process that reads chunks of all lengths would grow by 800 MiB. 192 hold those of
48 numbers of rows, enough for short queries, whose products take less time than making them ready; a document of chunks
of all lengths is read a tenth slower. The second keeps what the first has let go.
"""


def has_onednn() -> bool:
    """Return whether torch was built with oneDNN."""
    found: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return found


def _bound_caches() -> None:
    """Bound what is kept; heeded if the process has not multiplied with oneDNN before."""
    for name, most in _CACHES.items():
        os.environ.setdefault(name, most)  # noqa: TID251 - where the libraries look, once


class PreparedLinear:
    """What linear layers of one input compute, side by side, as one product.

    On a CPU it is oneDNN's, which uses AVX-512 on every make of processor, with bias, GELU and residual done while a
    block of the product is still in the cache; elsewhere torch's own, as on a CPU whose torch comes without oneDNN.

    *Numerics*: `fp32` is exact up to the order of sums. `bf16` rounds weights, biases, inputs and outputs, and sums in
    float32. Nothing is differentiable.

    Args:
        layers: Read now; what they learn, or where they are moved, afterwards is not seen.
        precision: Of the product.
        gelu: Whether GELU follows.
    """

    def __init__(
        self, layers: Sequence[nn.Linear], precision: Precision, *, gelu: bool = False
    ) -> None:
        self._type = _TYPES[precision]
        self._activation = "gelu" if gelu else "none"
        with torch.no_grad():
            weight = torch.cat([layer.weight for layer in layers]).to(self._type)
            self._bias = torch.cat([layer.bias for layer in layers]).to(self._type)
            self._onednn = weight.device.type == "cpu" and has_onednn()
            if self._onednn:
                _bound_caches()
            # torch has public names for training with oneDNN only; these are what its compiler calls for inference.
            self._weight = (
                torch.ops.mkldnn._reorder_linear_weight(weight) if self._onednn else weight  # noqa: SLF001 - as above
            )

    def __call__(
        self, x: Float[Tensor, "n i"], plus: Float[Tensor, "n o"] | None = None
    ) -> Float[Tensor, "n o"]:
        """Multiply each row, and add a residual where one is given.

        Returns:
            In the precision of the product; with a residual, in that of the residual.
        """
        x = x.to(self._type)
        if plus is None:
            return self._product(x)
        if self._onednn and plus.dtype == self._type:
            summed: Tensor = torch.ops.mkldnn._linear_pointwise.binary(  # noqa: SLF001 - see __init__
                x, plus, self._weight, self._bias, "add"
            )
            return summed
        return plus + self._product(x)

    def _product(self, x: Float[Tensor, "n i"]) -> Float[Tensor, "n o"]:
        if self._onednn:
            y: Tensor = torch.ops.mkldnn._linear_pointwise.default(  # noqa: SLF001 - see __init__
                x, self._weight, self._bias, self._activation, [], "none"
            )
            return y
        y = F.linear(x, self._weight, self._bias)
        return F.gelu(y) if self._activation == "gelu" else y
