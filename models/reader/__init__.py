"""The chunk-level reader: what earlier segments were about, added to a segment's vector."""

from models.reader.reader import ContextReader

__all__ = ["ContextReader"]
