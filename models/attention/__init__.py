"""Attention variants, one file each; the registry is a literal."""

from collections.abc import Mapping
from typing import Final

from models.attention.base import Attention, LayerMemory
from models.attention.infini import InfiniAttention
from models.attention.multi_head import MultiHeadAttention

ATTENTIONS: Final[Mapping[str, type[Attention]]] = {
    "multi-head": MultiHeadAttention,
    "infini": InfiniAttention,
}

__all__ = ["ATTENTIONS", "Attention", "LayerMemory"]
