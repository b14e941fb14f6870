"""Model cards: a Markdown page for people, whose front matter holds the figures for programs."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from models.errors import WeightsError

_FENCE = "---\n"


@dataclass(frozen=True, slots=True)
class Card:
    """What a card's front matter says.

    Attributes:
        base: sha256 of the base its figures were measured on.
        evaluation: Name of a figure to its value, as `models.evaluate` measured it.
    """

    base: str
    evaluation: dict[str, Any]


def read_card(file: Path) -> Card:
    """Read a card.

    Raises:
        WeightsError: it has no front matter, or that lacks `base_sha256` or `evaluation`.
    """
    try:
        _, front, _ = file.read_text(encoding="utf-8").split(_FENCE, 2)
        fields = yaml.safe_load(front)
        return Card(str(fields["base_sha256"]), dict(fields["evaluation"]))
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError) as error:
        raise WeightsError(f"cannot read card {file.name}: {error}") from error
