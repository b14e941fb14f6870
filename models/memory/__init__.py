"""Compressive memories: what an encoder has read, in constant size."""

from models.memory.state import Memory

__all__ = ["Memory"]
