"""Made-up sentences for a recall head: numbers to remember, questions for them, and numbers to leave alone."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

KINDS: Final = (
    *("pass key", "passkey", "pass code", "passcode", "password", "access code", "secret code"),
    *("secret number", "door code", "entry code", "PIN", "PIN code", "security code", "lock code"),
    *("safe combination", "locker combination", "locker code", "vault code", "gate code", "code"),
    *("magic number", "code number", "unlock code", "key number", "login code", "activation code"),
    *("keypad code", "master code", "backup code", "cabinet number", "server password", "box key"),
)
STATEMENTS: Final = (
    "The {kind} is {number}.",
    "The {kind} is {number}. Remember it. {number} is the {kind}.",
    "Do not forget the {kind}: {number}.",
    "Remember this: the {kind} is {number}.",
    "My {kind} is {number}, keep it safe.",
    "{number} is the {kind}.",
)
NAMED_STATEMENTS: Final = (
    "The {kind} of {name} is {number}.",
    "The {kind} of {name} is {number}. Remember it: {number} is the {kind} of {name}.",
    "The {kind} for {name} is {number}. Remember it.",
    "{name}'s {kind} is {number}.",
    "Remember that the {kind} of {name} is {number}.",
    "{number} is the {kind} of {name}.",
    "{number} is {name}'s {kind}, do not forget it.",
    "Note the {kind} of {name}: {number}.",
    "{name} told me that the {kind} was {number}.",
    "{name} uses {number} as {kind}.",
    "To get in, {name} has to give the {kind} {number}.",
    "{name} whispered the {kind}, {number}, and left.",
    "{name} wrote down the {kind}: {number}.",
    "{name} picked {number} for the {kind}.",
    "{name} set the {kind} to {number}.",
    "{name} changed the {kind} to {number}.",
    "{name} memorised {number} as the {kind}.",
    "{name}, whose {kind} is {number}, waited outside.",
    "{name}: {kind} {number}.",
    "Use {number}, the {kind} of {name}.",
    "It is {number}, said {name} about the {kind}.",
    "The {kind} {name} gave me is {number}.",
    "The {kind} which {name} has to enter reads {number}.",
    "As {kind}, {name} took {number}.",
    "Never forget {number}: it is the {kind} of {name}.",
    "Starting today {name} has the {kind} {number}.",
    "You will need {name}'s {kind} ({number}).",
    "I promised {name} not to tell that the {kind} is {number}.",
    "Somebody saw {name} type {number}, the {kind}, last night.",
    "Once more, so that it is not lost: {number}, {kind}, {name}.",
)
QUESTIONS: Final = (
    "What is the {kind}?",
    "What is the {kind}? The {kind} is",
    "Tell me the {kind}.",
    "What was the {kind} again?",
    "{kind}",
)
NAMED_QUESTIONS: Final = (
    "What is the {kind} of {name}?",
    "What is {name}'s {kind}?",
    "What is the {kind} for {name}?",
    "Tell me the {kind} of {name}.",
    "Which {kind} does {name} have?",
    "What was the {kind} of {name}?",
    "{name} {kind}",
    "What is the {kind} of {name}? The {kind} of {name} is",
)
OTHER_NUMBERS: Final = (
    "The town had {number} inhabitants.",
    "The population of the place is {number}.",
    "It cost {name} {number} dollars.",
    "{name} was born in {year}.",
    "In {year}, {name} left the country with {few} trunks.",
    "Chapter {few}.",
    "See page {few} of the report by {name}.",
    "{name} walked {few} miles that day.",
    "{name} sent {number} men to the left flank.",
    "Invoice {number} was paid by {name}.",
    "The distance is {number} metres.",
    "{name} earned {number} roubles a year.",
    "There were {few} keys on the ring, and {name} took one.",
    "The key weighs {few} grams.",
    "The house has {few} doors and {few} locks.",
    "{name} kept the secret for {few} years.",
    "The program has {number} lines of code.",
    "{number} soldiers went through the pass.",
    "{number} people tried to guess the {kind} of {name}.",
    "{name} changed the {kind} {few} times.",
    "The {kind} of {name} was made in {year}.",
    "The {kind} has {few} digits.",
    "Page {few} says where {name} keeps the {kind}.",
    "{name} lost the {kind} in {year}.",
    "After {few} minutes {name} had forgotten the {kind}.",
    "The {kind} of {name} was sold for {number} dollars.",
    "The sample of {number} patients was followed for {few} weeks.",
    "The index fell by {few} points to {number}.",
    "{name} owns {number} sheep.",
    "{name} was paid {number} pounds for the portrait.",
    "The house of {name} stands at number {few}.",
    "{name} stayed in room {few} of the inn.",
    "{number} letters were addressed to {name}.",
    "The mill of {name} grinds {number} sacks a week.",
    "{name} lost {number} francs at cards.",
    "The book by {name} has {few} pages and sold {number} copies.",
    "{name} scored {number} points.",
    "{name} can name {number} plants.",
    "The ship of {name} carried {number} barrels.",
    "{name} planted {number} trees in {year}.",
    "The portrait of {name} hung there for {few} days.",
    "{name} has {number} books in the library.",
    "The village of {name} counted {number} souls.",
    "{name} weighs {few} pounds.",
    "The speech of {name} took {few} minutes.",
    "{name} bought the field for {number} crowns.",
    "In the {year} election {name} got {number} votes.",
    "The regiment of {name} lost {number} men.",
)
# The parts of invented names; most names are invented, so that none is learned by heart.
_FIRST: Final = (
    *("Anna", "Bruno", "Clara", "David", "Elena", "Felix", "Grace", "Henry", "Irene", "Jonas"),
    *("Karin", "Louis", "Maria", "Nora", "Oscar", "Paula", "Quentin", "Rosa", "Samuel", "Tess"),
    *("Ursula", "Victor", "Wanda", "Yusuf", "Zeno", "Aiko", "Bogdan", "Chidi", "Dunja", "Emre"),
)
_LAST: Final = (
    *("Abbott", "Brandt", "Castle", "Duarte", "Eriksen", "Fischer", "Garland", "Hobbs", "Ivanov"),
    *("Jansen", "Keller", "Lambert", "Moreau", "Novak", "Okafor", "Petrov", "Quist", "Romero"),
    *("Silva", "Tanaka", "Underhill", "Varga", "Winter", "Yilmaz", "Zielinski", "Ravensworth"),
)
_OPENINGS: Final = (
    *("b", "br", "c", "d", "dr", "f", "g", "h", "k"),
    *("l", "m", "n", "p", "r", "s", "t", "v", "w"),
)
_VOWELS: Final = ("a", "e", "i", "o", "u", "ai", "ea", "ou")
_ENDINGS: Final = (
    *("n", "r", "l", "s", "th", "ck", "ld", "mont", "ford"),
    *("well", "ska", "berg", "by", "ton"),
)


@dataclass(frozen=True, slots=True)
class Fact:
    """A number to remember.

    Attributes:
        kind: What it is, e.g. "pass key".
        name: Whose it is; empty for nobody's.
        digits: The number.
    """

    kind: str
    name: str
    digits: str


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence with a number in it.

    Attributes:
        text: The sentence.
        fact: What it states; None if its numbers are to be left alone.
    """

    text: str
    fact: Fact | None


class Sentences:
    """Draws sentences, the same ones for the same seed.

    Args:
        seed: Of all draws.
        named: Templates that state a named fact, in place of `NAMED_STATEMENTS`.
    """

    def __init__(self, seed: int, named: Sequence[str] = NAMED_STATEMENTS) -> None:
        self._draw = random.Random(seed)  # noqa: S311 - a reproducible sample, no secret
        self._named = named

    def name(self) -> str:
        """Draw a name of one or two words, mostly invented."""
        first = self._draw.choice(_FIRST) if self._chance(0.5) else self._invented()
        last = self._draw.choice(_LAST) if self._chance(0.4) else self._invented()
        return first if self._chance(0.15) else f"{first} {last}"

    def fact(self, kind: str | None = None, name: str | None = None) -> Fact:
        """Draw a fact; one in eight is nobody's, unless a name is given."""
        if name is None:
            name = "" if self._chance(1 / 8) else self.name()
        return Fact(kind or self._kind(), name, self.digits())

    def digits(self) -> str:
        """Draw a number: five digits mostly, three to eight at times."""
        length = 5 if self._chance(0.7) else self._draw.randint(3, 8)
        return "".join(self._draw.choices("0123456789", k=length))

    def statement(self, fact: Fact) -> Sentence:
        """Say a fact; in one of five sentences the digits stand apart."""
        template = self._draw.choice(self._named if fact.name else STATEMENTS)
        number = " ".join(fact.digits) if self._chance(0.2) else fact.digits
        text = template.format(kind=fact.kind, name=fact.name, number=number)
        return Sentence(text, fact)

    def question(self, fact: Fact, *, by_name: bool = True) -> str:
        """Ask for a fact."""
        template = self._draw.choice(NAMED_QUESTIONS if fact.name and by_name else QUESTIONS)
        return template.format(kind=fact.kind, name=fact.name)

    def other(self) -> Sentence:
        """Draw a sentence whose numbers nobody asked to remember."""
        text = self._draw.choice(OTHER_NUMBERS).format(
            kind=self._kind(),
            name=self.name(),
            number=self._draw.randint(100, 10 ** self._draw.randint(3, 7)),
            year=self._draw.randint(1500, 2030),
            few=self._draw.randint(2, 400),
        )
        return Sentence(text, None)

    def _chance(self, share: float) -> bool:
        return self._draw.random() < share

    def _kind(self) -> str:
        return "pass key" if self._chance(0.25) else self._draw.choice(KINDS)

    def _invented(self) -> str:
        syllables = "".join(
            self._draw.choice(_OPENINGS) + self._draw.choice(_VOWELS)
            for _ in range(self._draw.randint(1, 2))
        )
        return (syllables + self._draw.choice(_ENDINGS)).capitalize()
