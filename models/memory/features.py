"""The feature map of linear attention."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def positive_features(x: Float[Tensor, "*axes k"]) -> Float[Tensor, "*axes k"]:
    """Map keys and queries to positive features.

    *Equation*: sigma = ELU + 1 of Infini-attention (arXiv 2404.07143v2, equations 7 to 9), elementwise.
    **Deviation:** none.

    *Numerics*: written as max(x, 0) + exp(min(x, 0)); adding 1 to ELU rounds to 0 from x = -17 on in float32, and a
    query whose features are all 0 would read 0/0.
    """
    return F.relu(x) + torch.exp(x.clamp(max=0.0))
