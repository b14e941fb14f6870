"""The ridge rule: the linear map that fits all bindings best."""

from typing import ClassVar, Final

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from models.memory.features import positive_features
from models.memory.halves import join, split
from models.memory.state import Parts

STRENGTH: Final = 1e-2
"""Lambda, in units of the mean eigenvalue of G: the same memory read twice as often is read the same way."""

_TINY: Final = 1e-30  # keeps a memory of zeros solvable; it reads zero


class RidgeRule:
    """Ridge regression from keys to values: least squares instead of a sum of bindings.

    *Equation*: with phi = sigma = ELU + 1 as in Infini-attention, G = sum phi(k)^T phi(k), C = sum phi(k)^T v:

        A_mem = phi(q) (G + lambda I)^-1 C,   lambda = 1e-2 trace(G) / k

    **Deviation** from Infini-attention (arXiv 2404.07143v2, equations 7 and 8): another read-out and another rule; C is
    its M, and z is gone. A key that was written is told apart from others that resemble it, as long as fewer than
    about 2k bindings were written.

    *Numerics*: what is asked of G is how little its keys differ, and float32 loses that: after 10 million tokens of one
    sentence over and over the read-out is wrong altogether. So the sums are double precision, each kept as a
    rounded float32 part and a part `..._low` of what rounding left out, and solved in double precision.
    """

    additive: ClassVar[bool] = True

    def parts(self, heads: int, key_width: int, value_width: int) -> dict[str, tuple[int, ...]]:
        """Return the shapes of G and C, each in halves."""
        gram, cross = (heads, key_width, key_width), (heads, key_width, value_width)
        return {"gram": gram, "gram_low": gram, "cross": cross, "cross_low": cross}

    def read(self, query: Float[Tensor, "t h k"], parts: Parts) -> Float[Tensor, "t h v"]:
        """Solve for the map by Cholesky, once per head, and apply it to all queries."""
        gram, cross = _sums(parts)
        solved = torch.cholesky_solve(cross, torch.linalg.cholesky(_regular(gram)))
        features = positive_features(query).double().transpose(0, 1)  # (h, t, k)
        return (features @ solved).transpose(0, 1).to(query.dtype)

    def read_stepwise(self, query: Float[Tensor, "t h k"], parts: Parts) -> Float[Tensor, "t h v"]:
        """Weigh the values anew for every token and head: phi(q) (G + lambda I)^-1 first, then C."""
        gram, cross = _sums(parts)
        width = gram.shape[-1]
        identity = torch.eye(width, dtype=gram.dtype, device=gram.device)
        rows = []
        for token in positive_features(query).double():  # (h, k)
            heads = []
            for phi, g, c in zip(token, gram, cross, strict=True):
                penalty = STRENGTH * g.trace() / width + _TINY
                heads.append(torch.linalg.solve(g + penalty * identity, phi) @ c)
            rows.append(torch.stack(heads))
        return torch.stack(rows).to(query.dtype)

    def write(
        self,
        key: Float[Tensor, "t h k"],
        value: Float[Tensor, "t h v"],
        parts: Parts,
        *,
        empty: bool,  # noqa: ARG002 - the rule reads nothing, so an empty memory is no special case
    ) -> Parts:
        """Add the segment's products."""
        gram, cross = _sums(parts)
        features = positive_features(key).double().transpose(0, 1)  # (h, t, k)
        transposed = features.transpose(1, 2)
        return _parts(
            gram + transposed @ features,
            cross + transposed @ value.double().transpose(0, 1),
        )

    def write_stepwise(
        self,
        key: Float[Tensor, "t h k"],
        value: Float[Tensor, "t h v"],
        parts: Parts,
        *,
        empty: bool,  # noqa: ARG002 - as above
    ) -> Parts:
        """Add the products of one token after the other."""
        gram, cross = _sums(parts)
        for phi, bound in zip(positive_features(key).double(), value.double(), strict=True):
            gram = gram + torch.einsum("hi,hj->hij", phi, phi)
            cross = cross + torch.einsum("hk,hv->hkv", phi, bound)
        return _parts(gram, cross)

    def merge(self, one: Parts, other: Parts) -> Parts:
        """Add both sums."""
        (gram, cross), (more, further) = _sums(one), _sums(other)
        return _parts(gram + more, cross + further)

    def subtract(self, whole: Parts, part: Parts) -> Parts:
        """Take one sum from the other."""
        (gram, cross), (less, fewer) = _sums(whole), _sums(part)
        return _parts(gram - less, cross - fewer)


def _sums(parts: Parts) -> tuple[Float64[Tensor, "h k k"], Float64[Tensor, "h k v"]]:
    return join(parts["gram"], parts["gram_low"]), join(parts["cross"], parts["cross_low"])


def _parts(gram: Float64[Tensor, "h k k"], cross: Float64[Tensor, "h k v"]) -> Parts:
    (gram_high, gram_low), (cross_high, cross_low) = split(gram), split(cross)
    return {
        "gram": gram_high,
        "gram_low": gram_low,
        "cross": cross_high,
        "cross_low": cross_low,
    }


def _regular(gram: Float64[Tensor, "h k k"]) -> Float64[Tensor, "h k k"]:
    """Return G + lambda I."""
    mean = gram.diagonal(dim1=1, dim2=2).mean(-1)  # trace(G) / k: the mean eigenvalue
    identity = torch.eye(gram.shape[-1], dtype=gram.dtype, device=gram.device)
    return gram + (STRENGTH * mean + _TINY).view(-1, 1, 1) * identity
