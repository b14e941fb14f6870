"""Addresses are made of token codes: fixed random signs, the same on every machine."""

from typing import Final

import torch
from jaxtyping import Float, Int
from torch import Tensor

# The finaliser of SplitMix64 (Steele, Lea and Flood 2014); int64 products wrap as its unsigned ones do.
_FIRST: Final = 0xBF58476D1CE4E5B9 - (1 << 64)
_SECOND: Final = 0x94D049BB133111EB - (1 << 64)
_STEP: Final = 0x9E3779B97F4A7C15 - (1 << 64)


def token_codes(ids: Int[Tensor, "*axes"], width: int) -> Float[Tensor, "*axes c"]:
    """Return each token's code, of length 1.

    Codes of different tokens are nearly orthogonal: their products have deviation 1/sqrt(width). A name that was never
    trained on is therefore as good an address as any other, and no table is kept.

    Args:
        ids: Token ids.
        width: Entries of a code; *shape* of the result (..., width).
    """
    # A text repeats its words: there are far fewer different ones.
    different, which = torch.unique(ids.long(), return_inverse=True)
    places = torch.arange(width, device=ids.device)
    x = (different[:, None] * width + places + 1) * _STEP
    x = (x ^ _logical_shift(x, 30)) * _FIRST
    x = (x ^ _logical_shift(x, 27)) * _SECOND
    signs = _logical_shift(x, 63).float() * 2 - 1
    codes: Tensor = signs[which] / width**0.5
    return codes


def _logical_shift(x: Tensor, bits: int) -> Tensor:
    """Shift right and fill with zeros; torch's own shift repeats the sign."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)
