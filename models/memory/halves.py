"""Sums in double precision, kept as two float32 tensors: the number rounded, and what rounding left out."""

from jaxtyping import Float, Float32, Float64
from torch import Tensor


def join(high: Float32[Tensor, "*axes"], low: Float32[Tensor, "*axes"]) -> Float64[Tensor, "*axes"]:
    """Return the number that both halves make."""
    return high.double() + low.double()


def split(
    number: Float[Tensor, "*axes"],
) -> tuple[Float32[Tensor, "*axes"], Float32[Tensor, "*axes"]]:
    """Return a number in halves; `join` gives 48 of its 53 bits back."""
    high = number.float()
    return high, (number - high).float()
