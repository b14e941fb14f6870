"""Texts of the passkey evaluation: the paper's task, the same by name, and phrasings that no training sentence has."""

import random
from dataclasses import dataclass
from typing import Final

LOOP: Final = (
    "The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again. "
)
"""The filler of Infini-attention's passkey task (arXiv 2404.07143v2, appendix B)."""

PAPER: Final = "The pass key is {digits}. Remember it. {digits} is the pass key."
PAPER_QUESTION: Final = "What is the pass key? The pass key is"
NAMED: Final = "The pass key of {name} is {digits}."
NAMED_QUESTION: Final = "What is the pass key of {name}?"
UNSEEN: Final = (
    "If anyone asks, {name}'s {kind} is {digits}.",
    "We agreed on {digits} as the {kind} of {name}.",
    "Please keep in mind that {digits} is what {name} chose as {kind}.",
    "For {name} the {kind} will be {digits} from now on.",
    "The new {kind}, {digits}, belongs to {name}.",
)
UNSEEN_QUESTIONS: Final = (
    "Do you remember the {kind} of {name}?",
    "I need the {kind} that belongs to {name}.",
    "Can you give me {name}'s {kind}, please?",
)
UNSEEN_KINDS: Final = ("alarm code", "garage code", "entry number", "launch code", "wallet key")
BYSTANDERS: Final = (
    "{name} lives at number {digits}, Mill Road.",
    "The factory of {name} made {digits} bricks.",
    "{name} counted {digits} birds on the lake.",
    "The letter of {name} was sold for {digits} pounds.",
)
"""Sentences about a person with a number that nobody asked to remember."""
_FIRST: Final = (
    *("Anouk", "Boris", "Corinne", "Dmitri", "Edith", "Fabio", "Greta", "Hamid", "Ingrid"),
    *("Joaquin", "Kerstin", "Leopold", "Mirela", "Nadia", "Osman", "Petra", "Rupert", "Stefan"),
    *("Tamsin", "Ulrich", "Valeria", "Wendell", "Xavier", "Yolanda", "Zacharias"),
)
_LAST: Final = (
    *("Ashdown", "Blackwood", "Castellan", "Dunmore", "Everhart", "Fairbanks", "Greenhalgh"),
    *("Hollister", "Ingram", "Jernigan", "Kowalczyk", "Lindqvist", "Merriweather", "Northcote"),
    *("Oyelaran", "Pemberton", "Quartermaine", "Rosenthal", "Sandoval", "Thackeray"),
    *("Upchurch", "Vandermeer", "Whitlock", "Yardley", "Zimmermann"),
)


@dataclass(frozen=True, slots=True)
class Needle:
    """A number in a text, and the question for it.

    Attributes:
        statement: The sentence that states it.
        question: The question that asks for it.
        digits: The number.
        name: Whose it is.
    """

    statement: str
    question: str
    digits: str
    name: str


class Needles:
    """Draws needles, the same ones for the same seed; no two of one draw share a name or a number."""

    def __init__(self, seed: int) -> None:
        self._draw = random.Random(seed)  # noqa: S311 - a reproducible sample, no secret

    def draw(self, count: int, phrasing: str) -> list[Needle]:
        """Draw the needles of one document.

        Args:
            count: How many.
            phrasing: `paper`, `named` or `unseen`.
        """
        pairs = [(first, last) for first in _FIRST for last in _LAST]
        names = [" ".join(pair) for pair in self._draw.sample(pairs, count)]
        numbers = self._draw.sample(range(100_000), count)
        return [
            self._needle(name, f"{n:05d}", phrasing) for name, n in zip(names, numbers, strict=True)
        ]

    def bystander(self, name: str) -> str:
        """Draw a sentence with a five-digit number that is not to be remembered."""
        digits = f"{self._draw.randrange(100_000):05d}"
        return self._draw.choice(BYSTANDERS).format(name=name, digits=digits)

    def _needle(self, name: str, digits: str, phrasing: str) -> Needle:
        if phrasing == "paper":
            return Needle(PAPER.format(digits=digits), PAPER_QUESTION, digits, name)
        if phrasing == "named":
            statement = NAMED.format(name=name, digits=digits)
            return Needle(statement, NAMED_QUESTION.format(name=name), digits, name)
        kind = self._draw.choice(UNSEEN_KINDS)
        statement = self._draw.choice(UNSEEN).format(name=name, kind=kind, digits=digits)
        question = self._draw.choice(UNSEEN_QUESTIONS).format(name=name, kind=kind)
        return Needle(statement, question, digits, name)
