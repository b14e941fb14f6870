"""Trained adapters and their cards: `VARIANT.safetensors` and `VARIANT.md`."""

from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parent


def packaged(attention: str, suffix: str) -> Path | None:
    """Return the packaged file of a variant, or None if it has none."""
    file = FOLDER / f"{attention}.{suffix}"
    return file if file.is_file() else None
