"""The feature map of linear attention."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def positive_features(x: Float[Tensor, "*axes k"]) -> Float[Tensor, "*axes k"]:
    """Map keys and queries to positive features.

    *Equation*: sigma = ELU + 1 of Infini-attention (arXiv 2404.07143v2, equations 7 to 9), elementwise.
    **Deviation:** none.
    """
    return F.elu(x) + 1.0
