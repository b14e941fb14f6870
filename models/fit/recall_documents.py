"""What a recall head is trained on at one step: documents as sets of facts, and questions on each."""

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from models.fit.recall_encoding import Numbers, Questions
from models.fit.recall_texts import Fact

NAMED_FORMS: Final = 2
"""Ways in which each fact is asked for as it is; one more asks for its kind alone."""
_NEAR: Final = 0.4
"""Share of the questions without an answer that ask for a name of which half was stated."""
_SIZES: Final = (1, 1, 2, 4, 8, 16, 20)


@dataclass(frozen=True)
class Material:
    """All that is drawn from.

    Attributes:
        facts: Every fact.
        stated: Numbers of the passages that state them.
        others: Numbers to be left alone.
        questions: Of fact f, rows f * (NAMED_FORMS + 1) and on.
    """

    facts: Sequence[Fact]
    stated: Numbers
    others: Numbers
    questions: Questions

    @cached_property
    def rows(self) -> Mapping[int, list[int]]:
        """The numbers of `stated` that state each fact."""
        rows = defaultdict(list)
        for row, fact in enumerate(self.stated.facts):
            if fact >= 0:
                rows[fact].append(row)
        return dict(rows)


@dataclass(frozen=True, slots=True)
class Asked:
    """A question on a document.

    Attributes:
        document: Index of the document.
        row: Of `Material.questions`.
        fact: What the answer is; None if it was not stated.
    """

    document: int
    row: int
    fact: int | None

    @property
    def by_kind(self) -> bool:
        """True if the question says no name."""
        return self.row % (NAMED_FORMS + 1) == NAMED_FORMS


class Documents:
    """Draws documents of facts, the same ones for the same step.

    Args:
        material: What to draw from.
        facts: Which facts to use.
        seed: Of all draws.
    """

    def __init__(self, material: Material, facts: Sequence[int], seed: int) -> None:
        self._all, self._pool, self._seed = material.facts, list(facts), seed
        self._of_kind: dict[str, list[int]] = defaultdict(list)
        self._of_word: dict[str, list[int]] = defaultdict(list)
        for fact in self._pool:
            self._of_kind[material.facts[fact].kind].append(fact)
            for word in material.facts[fact].name.split():
                self._of_word[word].append(fact)

    def draw(self, step: int, count: int) -> tuple[list[list[int]], list[Asked]]:
        """Draw a step's documents, as the facts they state, and the questions on them."""
        draw = random.Random(f"{self._seed} {step}")  # noqa: S311 - a reproducible sample, no secret
        documents = [self._document(draw) for _ in range(count)]
        asked = [
            question
            for index, facts in enumerate(documents)
            for question in [*self._known(index, facts, draw), *self._unknown(index, facts, draw)]
        ]
        return documents, asked

    def _document(self, draw: random.Random) -> list[int]:
        """Draw facts, mostly of one kind: what has the same kind is told apart by name alone."""
        pool = self._pool
        if draw.random() < 0.7:  # noqa: PLR2004 - mostly
            pool = self._of_kind[draw.choice(sorted(self._of_kind))]
        facts = draw.sample(pool, min(draw.choice(_SIZES), len(pool)))
        return list({(self._all[f].kind, self._all[f].name): f for f in facts}.values())

    def _known(self, document: int, facts: list[int], draw: random.Random) -> list[Asked]:
        """Ask for some of a document's facts, by name, or by kind where it is the only one of it."""
        found = []
        for fact in draw.sample(facts, min(3, len(facts))):
            same = [other for other in facts if self._all[other].kind == self._all[fact].kind]
            form = draw.randrange(NAMED_FORMS)
            if len(same) == 1:
                found.append(Asked(document, _row(fact, draw.choice((form, NAMED_FORMS))), fact))
            elif all(self._all[other].name for other in same):
                found.append(Asked(document, _row(fact, form), fact))
        return found

    def _unknown(self, document: int, facts: list[int], draw: random.Random) -> list[Asked]:
        """Ask for facts that a document does not state, but others of their kind or name."""
        stated = {(self._all[fact].kind, self._all[fact].name) for fact in facts}
        kind = draw.choice(sorted({kind for kind, _ in stated}))
        words = [word for _, name in sorted(stated) for word in name.split()]
        found = []
        for _ in range(2):
            near = self._of_word[draw.choice(words)] if words and draw.random() < _NEAR else []
            fact = draw.choice(near or self._of_kind[kind])
            other = self._all[fact]
            nobodys = (
                other.kind,
                "",
            ) in stated  # "the pass key" may well be that of whoever is asked about
            if other.name and not nobodys and (other.kind, other.name) not in stated:
                found.append(Asked(document, _row(fact, draw.randrange(NAMED_FORMS)), None))
        return found


def _row(fact: int, form: int) -> int:
    return fact * (NAMED_FORMS + 1) + form
