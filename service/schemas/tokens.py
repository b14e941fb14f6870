"""Tokens of a text, as several routes answer with them."""

from service.schemas.base import ResponseModel


class Token(ResponseModel):
    """One token and the characters it stands for: `text[start:end]`, counted in code points."""

    id: int
    token: str
    """As the vocabulary spells it."""
    start: int | None
    """First character; null for the CLS and SEP that the model puts around each segment."""
    end: int | None
    """The character after its last; null where `start` is."""
