"""Figures of a memory for whoever looks at it: how much is in it, and in how many directions."""

import torch
from jaxtyping import Float
from torch import Tensor


def norms(part: Float[Tensor, "..."], kept_axes: int) -> Float[Tensor, "..."]:
    """Return the Euclidean norm over all axes but the first `kept_axes`."""
    flat = part.double().reshape(*part.shape[:kept_axes], -1)
    found: Tensor = torch.linalg.vector_norm(flat, dim=-1)
    return found


def spectra(matrices: Float[Tensor, "*n i j"]) -> tuple[Float[Tensor, "*n"], Float[Tensor, "*n"]]:
    """Return effective rank and saturation of matrices; both 0 for a matrix of zeros.

    *Equation*: effective rank (Roy and Vetterli, The effective rank, EUSIPCO 2007) is exp(-sum p log p) with
    p = sigma / sum sigma, sigma the singular values: 1 for a matrix of one direction, min(i, j) if all weigh the same.
    Saturation is sigma_1^2 / sum sigma^2: near 1 whatever is asked, one direction answers. **Deviation:** none.

    *Numerics*: float64; sums grow with the document, so the matrix is scaled to 1 before.
    """
    wide = matrices.double()
    largest = wide.abs().amax((-2, -1), keepdim=True)
    sigma = torch.linalg.svdvals(wide / largest.clamp(min=torch.finfo(torch.float64).tiny))
    written = largest[..., 0, 0] > 0
    shares = sigma / sigma.sum(-1, keepdim=True).clamp(min=torch.finfo(torch.float64).tiny)
    rank = torch.special.entr(shares).sum(-1).exp()
    energy = sigma.square()
    first = energy[..., 0] / energy.sum(-1).clamp(min=torch.finfo(torch.float64).tiny)
    return torch.where(written, rank, 0.0), torch.where(written, first, 0.0)
