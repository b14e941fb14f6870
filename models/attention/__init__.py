"""Attention variants, one file each; the registry is a literal."""

from collections.abc import Mapping
from typing import Final

from models.attention.base import Attention, Inspection, LayerMemory
from models.attention.bidirectional import BidirectionalAttention
from models.attention.causal import CausalAttention
from models.attention.infini import InfiniAttention
from models.attention.multi_head import MultiHeadAttention
from models.attention.self_attention import SelfAttention
from models.attention.weighted_heads import WeightedMultiHeadAttention

ATTENTIONS: Final[Mapping[str, type[Attention]]] = {
    "self-attention": SelfAttention,
    "causal": CausalAttention,
    "bidirectional": BidirectionalAttention,
    "multi-head": MultiHeadAttention,
    "multi-head-weighted": WeightedMultiHeadAttention,
    "infini": InfiniAttention,
}

__all__ = ["ATTENTIONS", "Attention", "Inspection", "LayerMemory"]
