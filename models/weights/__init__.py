"""Checkpoints and adapters: finding them, loading them strictly, telling them apart."""

from models.weights.adapters import (
    AdapterHeader,
    adapter_parameters,
    load_adapter,
    read_header,
    save_adapter,
)
from models.weights.bert import published_names
from models.weights.cards import Card, read_card
from models.weights.loading import fingerprint, load_base
from models.weights.source import Checkpoint, locate, on_this_machine

__all__ = [
    "AdapterHeader",
    "Card",
    "Checkpoint",
    "adapter_parameters",
    "fingerprint",
    "load_adapter",
    "load_base",
    "locate",
    "on_this_machine",
    "published_names",
    "read_card",
    "read_header",
    "save_adapter",
]
