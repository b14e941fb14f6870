"""Shapes and thresholds of a recall head."""

from dataclasses import asdict, dataclass, fields
from typing import Any, Final

from models.errors import WeightsError

SYMBOLS: Final = 11
"""Ten digits, and the end of a number."""
END: Final = 10


@dataclass(frozen=True, slots=True)
class RecallOptions:
    """What a recall head is built with; a checkpoint carries its own.

    Attributes:
        width: Width of the encoder's token states.
        layer: Layers of the encoder whose states the head reads.
        code: Width of an address.
        attention: Width in which a number looks for the tokens that address it.
        hidden: Width of the gate's and the question's hidden layer.
        reach: Tokens on either side of a number that may address it.
        slots: Most digits of a number.
        window: Tokens of a full segment, CLS and SEP included: a number at its end may go on in the next one.
        ridge: Lambda of the least squares, against addresses of length 1.
        least_vote: A digit counts as found from this vote on; 1 is a number that was stored as it is asked for.
    """

    width: int = 384
    layer: int = 3
    code: int = 192
    attention: int = 64
    hidden: int = 64
    reach: int = 24
    slots: int = 8
    window: int = 256
    ridge: float = 0.02
    least_vote: float = 0.5

    def as_dict(self) -> dict[str, int | float]:
        """Return the options by name."""
        return asdict(self)

    @classmethod
    def from_dict(cls, content: Any) -> "RecallOptions":
        """Read what `as_dict` gave.

        Raises:
            WeightsError: a name is missing or unknown, or a value is no positive number of its type.
        """
        wanted = {field.name: field.type for field in fields(cls)}
        if not isinstance(content, dict) or set(content) != set(wanted):
            raise WeightsError(f"options of a recall head are {', '.join(wanted)}")
        for name, kind in wanted.items():
            if type(content[name]) is not kind or content[name] <= 0:
                raise WeightsError(f"option {name} of a recall head: {content[name]!r}")
        return cls(**content)
