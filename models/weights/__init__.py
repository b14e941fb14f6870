"""Checkpoints: finding them, loading them strictly, telling them apart."""

from models.weights.loading import fingerprint, load_base
from models.weights.source import Checkpoint, locate, on_this_machine

__all__ = ["Checkpoint", "fingerprint", "load_base", "locate", "on_this_machine"]
