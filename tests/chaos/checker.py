"""Judges a history: was each session one chain, and is everything its clients were told true of that chain?

Pure: values in, violations out. The rules:

* `lost`: an acknowledged chunk is not in the chain under its number.
* `twice`: a text is in the chain more often than it was sent.
* `stranger`: a text is in the chain that nobody sent, or that can only have been refused.
* `answer`: a vector that a client was told is not the chain's.
* `place`: chunks of one request are not side by side in order, or not where their client put them.
* `repeat`: an acknowledged request, sent again, was not answered with what it had been answered before.
* `clash`: another text under a taken number was not refused.
* `refusal`: something was refused for a reason that there was not.
* `time`: an operation that began after another had ended does not see what that one saw.
* `future`: a client was told of a chunk that nobody had sent yet.
* `fold`: a vector of the chain, or a document vector that was read, is not what reading its texts in order gives.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tests.chaos.history import Kind, Link, Operation, text_digest


@dataclass(frozen=True, slots=True)
class Violation:
    """Something that must not be.

    Attributes:
        rule: Name of the rule that is broken.
        session: Where.
        detail: What.
    """

    rule: str
    session: str
    detail: str


@dataclass(frozen=True, slots=True)
class Folded:
    """What reading texts in order gives.

    Attributes:
        vectors: `fingerprint` of each text's vector.
        documents: `fingerprint` of the document vector after 0, 1, 2, … texts.
    """

    vectors: Sequence[str]
    documents: Sequence[str]


_REASONS: Final[Mapping[Kind, frozenset[str]]] = {
    "append": frozenset({"sequence_conflict"}),
    "clash": frozenset({"sequence_conflict"}),
    "repeat": frozenset(),
    "read": frozenset(),
}

Fold = Callable[[Sequence[str]], Folded]


def check(
    session: str,
    operations: Sequence[Operation],
    chain: Sequence[Link],
    fold: Fold | None = None,
) -> list[Violation]:
    """Return all violations of one session's history.

    Args:
        session: Its name.
        operations: All that clients did with it, in any order.
        chain: What the store has in the end, in order.
        fold: What a model makes of texts; None leaves rule `fold` to the caller, for a model that is not exact.
    """
    case = _Case(session, operations, chain)
    found = [*case.chain_rules(), *case.answer_rules(), *case.time_rules()]
    return found if fold is None else [*found, *case.fold_rules(fold)]


class _Case:
    def __init__(
        self, session: str, operations: Sequence[Operation], chain: Sequence[Link]
    ) -> None:
        self._session = session
        self._operations = operations
        self._chain = chain
        self._appends = [one for one in operations if one.kind == "append"]
        self._author: Mapping[str, Operation] = {
            text_digest(text): one for one in self._appends for text in one.texts
        }
        self._text = {text_digest(text): text for one in operations for text in one.texts}
        self._place = {link.digest: seq for seq, link in enumerate(chain)}

    def chain_rules(self) -> Iterator[Violation]:
        """Yield what is in the chain and must not be."""
        for digest, times in Counter(link.digest for link in self._chain).items():
            if times > 1:
                yield self._violation("twice", f"{self._named(digest)} is there {times} times")
            if digest not in self._author:
                yield self._violation("stranger", f"{self._named(digest)} at {self._place[digest]}")
        for append in self._appends:
            yield from self._placed(append)

    def _placed(self, append: Operation) -> Iterator[Violation]:
        places = [self._place.get(text_digest(text)) for text in append.texts]
        # A request may end in the middle; what was committed of it is its beginning.
        there = [place for place in places if place is not None]
        if not there:
            return
        first = there[0] if append.first_seq is None else append.first_seq
        if places[: len(there)] != list(range(first, first + len(there))):
            yield self._violation("place", f"chunks of {append.texts} are at {places}")
        if append.outcome == "refused" and len(there) == len(places):
            yield self._violation("stranger", f"{append.texts} was refused with {append.error}")

    def answer_rules(self) -> Iterator[Violation]:
        """Yield what was answered and is not so."""
        for one in self._operations:
            if one.kind == "clash" and one.outcome == "ok":
                yield self._violation("clash", f"{one.texts} was taken as {one.told}")
            if one.kind == "repeat" and one.outcome == "ok" and not _all_replayed(one):
                yield self._violation("repeat", f"{one.texts} was read again: {one.told}")
            if one.outcome == "refused" and one.error not in _REASONS[one.kind]:
                yield self._violation("refusal", f"{one.kind} {one.texts}: {one.error}")
            if one.kind in {"append", "repeat"} and one.outcome == "ok":
                yield from self._kept(one)

    def _kept(self, one: Operation) -> Iterator[Violation]:
        if len(one.told) != len(one.texts):
            yield self._violation("answer", f"{len(one.told)} answers to {one.texts}")
        for text, told in zip(one.texts, one.told, strict=False):
            link = self._chain[told.seq] if told.seq < len(self._chain) else None
            if link is None or link.digest != text_digest(text):
                yield self._violation("lost", f"{text!r} was acknowledged as chunk {told.seq}")
            elif link.vector != told.vector:
                yield self._violation("answer", f"{text!r}, chunk {told.seq}, has another vector")

    def time_rules(self) -> Iterator[Violation]:
        """Yield what came too late or too early, seen from the clients' one clock."""
        begun = [
            self._author[link.digest].began if link.digest in self._author else float("-inf")
            for link in self._chain
        ]
        seen = 0
        for at, is_begin, one in _moments(self._operations):
            if is_begin:
                if (place := self._least(one)) is not None and place < seen:
                    yield self._violation(
                        "time", f"{one.kind} {one.texts} got {place} after {seen} chunks were seen"
                    )
                continue
            known = _known(one)
            seen = max(seen, known)
            if any(began > at for began in begun[:known]):
                yield self._violation(
                    "future", f"{one.kind} {one.texts} was told of {known} chunks"
                )

    def _least(self, one: Operation) -> int | None:
        """Return how many chunks there were when an operation had its effect; None if it had none."""
        if one.kind == "read":
            return one.next_seq if one.outcome == "ok" else None
        if one.kind != "append":
            return None
        return min(
            (self._place[d] for d in map(text_digest, one.texts) if d in self._place), default=None
        )

    def fold_rules(self, fold: Fold) -> Iterator[Violation]:
        """Yield vectors that are not the fold of the chain."""
        if any(link.digest not in self._text for link in self._chain):
            return  # a stranger, who was reported; what follows it cannot be told
        folded = fold([self._text[link.digest] for link in self._chain])
        for seq, (link, vector) in enumerate(zip(self._chain, folded.vectors, strict=True)):
            if link.vector != vector:
                yield self._violation("fold", f"chunk {seq} is not what reading in order gives")
        for one in self._operations:
            if one.document is None or one.next_seq is None:
                continue
            if one.next_seq > len(self._chain):
                yield self._violation("lost", f"a read saw {one.next_seq} chunks")
            elif folded.documents[one.next_seq] != one.document:
                yield self._violation("fold", f"the document after {one.next_seq} chunks")

    def _named(self, digest: str) -> str:
        return repr(self._text.get(digest, digest))

    def _violation(self, rule: str, detail: str) -> Violation:
        return Violation(rule, self._session, detail)


def _all_replayed(one: Operation) -> bool:
    return all(told.replayed for told in one.told)


def _known(one: Operation) -> int:
    """Return how many chunks a client knows of by an operation."""
    if one.outcome != "ok":
        return 0
    return max([one.next_seq or 0, *(told.seq + 1 for told in one.told)])


def _moments(operations: Sequence[Operation]) -> list[tuple[float, bool, Operation]]:
    """Return beginnings and ends in the order of time; of one moment, beginnings first."""
    moments = [(one.began, True, one) for one in operations]
    moments += [(one.ended, False, one) for one in operations]
    return sorted(moments, key=lambda moment: (moment[0], not moment[1]))
