"""Score functions: how well a query and a key fit, the first of attention's three steps."""

import math
from collections.abc import Mapping
from typing import ClassVar, Final, Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from models.config import ScoreName


@runtime_checkable
class Score(Protocol):
    """A score function of one layer, with parameters per head where it has any."""

    fused: ClassVar[bool]

    def __init__(self, heads: int, width: int) -> None:
        """Build the parameters for so many heads with keys and queries of this width."""
        ...

    def __call__(
        self, query: Float[Tensor, "*b h t k"], key: Float[Tensor, "*b h s k"]
    ) -> Float[Tensor, "*b h t s"]:
        """Score every query against every key: the readable path."""
        ...

    def as_dot_product(
        self, query: Float[Tensor, "*b h t k"], key: Float[Tensor, "*b h s k"]
    ) -> tuple[Float[Tensor, "*b h t k"], Float[Tensor, "*b h s k"], float | None]:
        """Say the same as a scaled inner product, for the fused path; only where `fused`.

        Returns:
            New queries, new keys, and the scale; None stands for 1 / sqrt(k).
        """
        ...


class ScaledDotProduct(nn.Module):
    """q . k / sqrt(k) (Vaswani et al., arXiv 1706.03762, equation 1)."""

    fused: ClassVar[bool] = True

    def __init__(self, heads: int, width: int) -> None:  # noqa: ARG002 - it has no parameters
        super().__init__()

    def forward(self, query: Tensor, key: Tensor) -> Tensor:
        """Score every query against every key."""
        return query @ key.mT / math.sqrt(query.shape[-1])

    def as_dot_product(self, query: Tensor, key: Tensor) -> tuple[Tensor, Tensor, float | None]:
        """Return what came in: torch's fused kernel computes exactly this."""
        return query, key, None


class Bilinear(nn.Module):
    """q^T W k, one W per head (Luong et al., arXiv 1508.04025, section 3.1, "general").

    **Deviation:** W begins as the identity over sqrt(k), where the score equals the scaled dot product.
    """

    fused: ClassVar[bool] = True

    def __init__(self, heads: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.eye(width).repeat(heads, 1, 1) / math.sqrt(width))

    def forward(self, query: Tensor, key: Tensor) -> Tensor:
        """Score every query against every key."""
        return torch.einsum("...htk,hkj,...hsj->...hts", query, self.weight, key)

    def as_dot_product(self, query: Tensor, key: Tensor) -> tuple[Tensor, Tensor, float | None]:
        """Move W to the query's side."""
        return query @ self.weight, key, 1.0


class Cosine(nn.Module):
    """cos(q, k) / tau, one learned temperature per head (Henry et al., arXiv 2010.04245, query-key normalisation).

    **Deviation:** tau begins at 0.1 for every head; the paper derives its start from the sequence length.
    """

    fused: ClassVar[bool] = True

    def __init__(self, heads: int, width: int) -> None:  # noqa: ARG002 - a temperature has no width
        super().__init__()
        self.log_temperature = nn.Parameter(torch.full((heads,), math.log(0.1)))

    def forward(self, query: Tensor, key: Tensor) -> Tensor:
        """Score every query against every key."""
        temperature = self.log_temperature.exp().view(-1, 1, 1)
        cosines: Tensor = F.normalize(query, dim=-1) @ F.normalize(key, dim=-1).mT
        return cosines / temperature

    def as_dot_product(self, query: Tensor, key: Tensor) -> tuple[Tensor, Tensor, float | None]:
        """Bring both to unit length, and the temperature to the query's side."""
        temperature = self.log_temperature.exp().view(-1, 1, 1)
        return F.normalize(query, dim=-1) / temperature, F.normalize(key, dim=-1), 1.0


class Additive(nn.Module):
    """v . tanh(W^T q + U^T k), one v, W and U per head (Bahdanau et al., arXiv 1409.0473, appendix A.1.2).

    No inner product equals it, so there is no fused path; it takes t x s x k numbers per head.
    """

    fused: ClassVar[bool] = False

    def __init__(self, heads: int, width: int) -> None:
        super().__init__()
        self.query_weight = nn.Parameter(torch.eye(width).repeat(heads, 1, 1))
        self.key_weight = nn.Parameter(torch.eye(width).repeat(heads, 1, 1))
        self.vector = nn.Parameter(torch.full((heads, width), 1 / math.sqrt(width)))

    def forward(self, query: Tensor, key: Tensor) -> Tensor:
        """Score every query against every key."""
        sums: Tensor = (query @ self.query_weight).unsqueeze(-2)  # (h, t, 1, k)
        sums = sums + (key @ self.key_weight).unsqueeze(-3)
        return (torch.tanh(sums) * self.vector.view(-1, 1, 1, self.vector.shape[-1])).sum(-1)

    def as_dot_product(self, query: Tensor, key: Tensor) -> tuple[Tensor, Tensor, float | None]:
        """Refuse.

        Raises:
            NotImplementedError: always; ask `fused` first.
        """
        raise NotImplementedError("additive attention is no inner product")


SCORES: Final[Mapping[ScoreName, type[Score]]] = {
    "dot": ScaledDotProduct,
    "additive": Additive,
    "bilinear": Bilinear,
    "cosine": Cosine,
}
