"""One layer's attention, alone and away from where its parameters begin."""

import torch
from torch import Tensor, nn

from models.attention import ATTENTIONS, Attention
from models.config import AttentionOptions
from models.encoder import Encoder
from models.packing import Packing, Segment
from tests.models.conftest import TINY


def layer(name: str, options: AttentionOptions | None = None) -> Attention:
    """Build a variant with reproducible random projections."""
    torch.manual_seed(4)
    return ATTENTIONS[name](TINY, options or AttentionOptions())


def same_projections(name: str, other: Attention) -> Attention:
    """Build a variant with the projections of another."""
    built = layer(name)
    for projection in ("query", "key", "value", "output"):
        getattr(built, projection).load_state_dict(getattr(other, projection).state_dict())
    return built


def tokens(count: int, seed: int = 0) -> Tensor:
    return torch.randn(count, TINY.width, generator=torch.Generator().manual_seed(seed))


def attended(attention: Attention, x: Tensor) -> Tensor:
    """Attend within one sequence."""
    return attention(x, Packing((len(x),)), None)[0]


def randomise(module: nn.Module, scale: float = 0.3) -> None:
    """Move every parameter, so that none keeps a value at which it does nothing."""
    generator = torch.Generator().manual_seed(8)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(scale * torch.randn(parameter.shape, generator=generator))


def words(length: int, seed: int) -> Segment:
    """Return a segment of random content tokens."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(2, TINY.vocabulary, (length,), generator=generator).tolist()
    return Segment((0, *ids, 1))


def embed(encoder: Encoder, segment: Segment) -> Tensor:
    """Return what the first layer is given."""
    positions = torch.arange(len(segment.ids))
    return encoder.embeddings(torch.tensor(segment.ids), positions)  # type: ignore[no-any-return] # Module.__call__
