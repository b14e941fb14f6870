"""What is around the attention in every variant: embeddings, residuals, norms and the feed-forward."""

import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from models.attention import Attention
from models.config import EncoderConfig, Precision
from models.prepared import PreparedLinear


class Embeddings(nn.Module):
    """Token, token-type and position tables, summed and normalised (BERT, arXiv 1810.04805, section 3)."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.tokens = nn.Embedding(config.vocabulary, config.width)
        self.positions = nn.Embedding(config.positions, config.width)
        self.token_types = nn.Embedding(config.token_types, config.width)
        self.norm = nn.LayerNorm(config.width, eps=config.norm_epsilon)

    def forward(self, ids: Int[Tensor, " n"], positions: Int[Tensor, " n"]) -> Float[Tensor, "n d"]:
        """Embed tokens at their positions; all are of token type 0."""
        x = self.tokens(ids) + self.token_types.weight[0] + self.positions(positions)
        return self.norm(x)  # type: ignore[no-any-return] # nn.Module.__call__ is untyped


class Block(nn.Module):
    """Attention and feed-forward, each with a residual and a norm after it (BERT's post-norm order)."""

    attention: Attention

    def __init__(self, config: EncoderConfig, attention: Attention) -> None:
        super().__init__()
        self.attention = attention
        self.attention_norm = nn.LayerNorm(config.width, eps=config.norm_epsilon)
        self.up = nn.Linear(config.width, config.feed_forward_width)
        self.down = nn.Linear(config.feed_forward_width, config.width)
        self.feed_forward_norm = nn.LayerNorm(config.width, eps=config.norm_epsilon)
        self._prepared: tuple[PreparedLinear, PreparedLinear] | None = None

    def prepare(self, precision: Precision) -> None:
        """Make the linear layers ready for inference: fused and in this precision, from what they are now."""
        self.attention.prepare(precision)
        up = PreparedLinear([self.up], precision, gelu=True)
        self._prepared = up, PreparedLinear([self.down], precision)

    def finish(
        self, x: Float[Tensor, "n d"], attended: Float[Tensor, "n d"]
    ) -> Float[Tensor, "n d"]:
        """Do everything after the attention."""
        x = self.attention_norm(attended + x)
        if self._prepared is not None:
            up, down = self._prepared
            return self.feed_forward_norm(down(up(x), plus=x))  # type: ignore[no-any-return] # as below
        return self.feed_forward_norm(self.down(F.gelu(self.up(x))) + x)  # type: ignore[no-any-return]
