"""The delta rule with a normaliser that grows only for what is new."""

from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from models.memory.features import positive_features
from models.memory.normalised import NormalisedMemory
from models.memory.state import Parts


class CorrectedDeltaRule(NormalisedMemory):
    """Delta rule that reads back a repeated binding as it was written, not weaker each time.

    *Equation*: per token, with sigma = sigma(k):

        gamma = clip(1 - sigma z / |sigma|^2, 0, 1)
        z'    = z + gamma sigma
        M'    = M + sigma^T (v - sigma M / (sigma z'))

    **Deviations** from Infini-attention (arXiv 2404.07143v2, equation 9): the normaliser grows by gamma sigma as in
    ARMT (arXiv 2407.04841), not by sigma. Tokens are written one after the other, and each is compared with what its
    key retrieves under the normaliser it leaves behind: where a whole segment reads the memory before it, this
    normaliser makes M diverge as soon as a segment is some times longer than the first one was. So sigma z' is never
    less than |sigma|^2, a write never overshoots, and how a text was cut into segments does not matter.

    *Numerics*: float32; what was written fades instead of adding up, and rounding errors with it.
    """

    additive: ClassVar[bool] = False

    def write(
        self,
        key: Float[Tensor, "t h k"],
        value: Float[Tensor, "t h v"],
        parts: Parts,
        *,
        empty: bool,  # noqa: ARG002 - parts of zeros retrieve zero, so an empty memory is no special case
    ) -> Parts:
        """Write all tokens at once.

        What token t adds is sigma_t^T u_t, and sigma_t M is what was there before the segment and what the tokens
        before t added: u_t = v_t - (sigma_t M_0 + sum_{s<t} (sigma_t . sigma_s) u_s) / (sigma_t z_t). That is a
        triangular system in u.
        """
        features = positive_features(key).transpose(0, 1)  # (h, t, k)
        overlaps = features @ features.transpose(1, 2)  # (h, t, t)
        normaliser, divisors = _grow(features, overlaps, parts["normaliser"])
        known = features @ parts["matrix"] / divisors.unsqueeze(-1)
        earlier = overlaps.tril(-1) / divisors.unsqueeze(-1)  # the ones of the diagonal are implied
        added = torch.linalg.solve_triangular(
            earlier, value.transpose(0, 1) - known, upper=False, unitriangular=True
        )
        return {
            "matrix": parts["matrix"] + features.transpose(1, 2) @ added,
            "normaliser": normaliser,
        }

    def write_stepwise(
        self,
        key: Float[Tensor, "t h k"],
        value: Float[Tensor, "t h v"],
        parts: Parts,
        *,
        empty: bool,  # noqa: ARG002 - as above
    ) -> Parts:
        """Read the equations off the page."""
        matrix, normaliser = parts["matrix"], parts["normaliser"]
        for sigma, bound in zip(positive_features(key), value, strict=True):  # (h, k), (h, v)
            ratio = (sigma * normaliser).sum(-1) / sigma.square().sum(-1)
            gamma = (1 - ratio).clip(0, 1)
            normaliser = normaliser + gamma.unsqueeze(-1) * sigma
            known = torch.einsum("hk,hkv->hv", sigma, matrix)
            fresh = bound - known / (sigma * normaliser).sum(-1, keepdim=True)
            matrix = matrix + torch.einsum("hk,hv->hkv", sigma, fresh)
        return {"matrix": matrix, "normaliser": normaliser}


def _grow(
    features: Float[Tensor, "h t k"],
    overlaps: Float[Tensor, "h t t"],
    normaliser: Float[Tensor, "h k"],
) -> tuple[Float[Tensor, "h k"], Float[Tensor, "h t"]]:
    """Return the normaliser after the segment, and sigma_t z_t of each token.

    Only few tokens find a normaliser that is too small for them, fewer the more was read: the loop goes from one of
    them to the next.
    """
    squares = overlaps.diagonal(dim1=1, dim2=2)
    covered = (features @ normaliser.unsqueeze(-1)).squeeze(-1)  # sigma_t z for all t
    divisors, start = [], 0
    lacking = _lacking(covered, squares, start)
    while len(lacking):
        token = int(lacking[0])
        divisors.append(covered[:, start:token])
        gamma = (1 - covered[:, token] / squares[:, token]).clip(0, 1).unsqueeze(-1)
        normaliser = normaliser + gamma * features[:, token]
        covered = covered + gamma * overlaps[:, token]
        start = token
        lacking = _lacking(covered, squares, token + 1)
    divisors.append(covered[:, start:])
    return normaliser, torch.cat(divisors, 1)


def _lacking(
    covered: Float[Tensor, "h t"], squares: Float[Tensor, "h t"], start: int
) -> Int[Tensor, " lacking"]:
    """Return the tokens from `start` on for which some head's normaliser is too small."""
    return (covered < squares)[:, start:].any(0).nonzero().flatten() + start
