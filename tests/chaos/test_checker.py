"""The checker by itself: it takes what may happen, and names everything that must not."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from tests.chaos.checker import Folded, check
from tests.chaos.history import Link, Operation, Told, read, text_digest, write


def fold(texts: Sequence[str]) -> Folded:
    """Name vectors and documents after all that was read before."""
    before = ["|".join(texts[:count]) for count in range(len(texts) + 1)]
    return Folded([f"v {past}" for past in before[1:]], [f"d {past}" for past in before])


def chain(*texts: str) -> list[Link]:
    vectors = fold(texts).vectors
    return [Link(text_digest(text), v) for text, v in zip(texts, vectors, strict=True)]


def append(
    began: float, first: int, *texts: str, past: str = "", given: bool = True, **fields
) -> Operation:
    """Return an acknowledged append to a session that had read `past`."""
    read_so_far = past.split("|") if past else []
    vectors = fold([*read_so_far, *texts]).vectors[len(read_so_far) :]
    told = tuple(Told(first + at, vector, replayed=False) for at, vector in enumerate(vectors))
    whole = Operation(
        client="c",
        session="s",
        kind="append",
        began=began,
        ended=began + 1,
        outcome="ok",
        texts=texts,
        first_seq=first if given else None,
        told=told,
        next_seq=first + len(texts),
    )
    return replace(whole, **fields)


def look(began: float, count: int, *texts: str) -> Operation:
    """Return a read that saw `count` chunks and a document of `texts`."""
    document = "d " + "|".join(texts)
    return Operation("c", "s", "read", began, began + 1, "ok", next_seq=count, document=document)


GOOD = [
    append(0, 0, "a", "b"),
    append(2, 2, "c", past="a|b", given=False),
    look(4, 3, "a", "b", "c"),
    # Two at once: either order is fine, and so is an answer that never came.
    append(6, 4, "e", past="a|b|c|d", ended=9),
    append(6, 3, "d", past="a|b|c", ended=9),
    append(6, 5, "f", outcome="unknown", told=(), next_seq=None, ended=7),
    append(10, 6, "never", outcome="unknown", told=(), next_seq=None),
    append(12, 6, "late", outcome="refused", told=(), next_seq=None, error="sequence_conflict"),
]
CHAIN = chain("a", "b", "c", "d", "e", "f")
REPEATED = replace(
    GOOD[0],
    kind="repeat",
    began=20,
    ended=21,
    told=tuple(replace(told, replayed=True) for told in GOOD[0].told),
    next_seq=6,
)
CLASH = Operation("c", "s", "clash", 22, 23, "refused", ("other",), 1, error="sequence_conflict")


def test_what_may_happen_is_no_violation():
    assert check("s", [*GOOD, REPEATED, CLASH], CHAIN, fold) == []


def test_the_order_of_the_records_says_nothing():
    assert check("s", [CLASH, REPEATED, *reversed(GOOD)], CHAIN, fold) == []


@pytest.mark.parametrize(
    ("rule", "operations", "links"),
    [
        ("lost", GOOD, CHAIN[:2]),
        ("lost", GOOD, chain("a", "c", "b", "d", "e", "f")),
        ("lost", [look(0, 1, "a")], []),
        ("twice", GOOD, chain("a", "b", "c", "d", "e", "f", "d")),
        ("stranger", GOOD, chain("a", "b", "c", "d", "e", "f", "who")),
        ("stranger", [*GOOD, CLASH], chain("a", "b", "c", "d", "e", "f", "other")),
        ("stranger", GOOD, chain("a", "b", "c", "d", "e", "f", "late")),
        ("answer", GOOD, [replace(CHAIN[0], vector="v z"), *CHAIN[1:]]),
        ("answer", [append(0, 0, "a", "b", told=(Told(0, "v a", replayed=False),))], CHAIN[:2]),
        ("place", [append(0, 0, "a", "b", outcome="unknown", told=())], chain("b", "a")),
        ("place", [append(0, 0, "a", "b", outcome="unknown", told=())], chain("b")),
        ("place", [append(0, 1, "a", outcome="unknown", told=())], chain("a")),
        ("repeat", [*GOOD, replace(REPEATED, told=GOOD[0].told)], CHAIN),
        ("answer", [*GOOD, replace(REPEATED, told=REPEATED.told[:1])], CHAIN),
        ("refusal", [*GOOD, replace(REPEATED, outcome="refused", error="x")], CHAIN),
        ("refusal", [replace(GOOD[0], outcome="refused", error="session_lost")], []),
        ("clash", [*GOOD, replace(CLASH, outcome="ok")], CHAIN),
        # A read that began after an append had ended must see it, and so must a later append.
        ("time", [GOOD[0], look(5, 1, "a")], CHAIN[:2]),
        ("time", [append(5, 0, "a"), append(0, 1, "b", past="a")], CHAIN[:2]),
        ("time", [append(0, 0, "a"), look(2, 1, "a"), look(5, 0)], CHAIN[:1]),
        ("future", [append(5, 0, "a"), look(0, 1, "a")], CHAIN[:1]),
        ("fold", [GOOD[0]], [CHAIN[0], replace(CHAIN[1], vector="v b")]),
        ("fold", [GOOD[0], look(5, 2, "b", "a")], CHAIN[:2]),
    ],
)
def test_what_must_not_be_is_named(rule: str, operations: list[Operation], links: list[Link]):
    assert rule in {violation.rule for violation in check("s", operations, links, fold)}


def test_a_history_survives_its_file(tmp_path):
    path = tmp_path / "history.jsonl"
    with path.open("w") as file:
        write(file, [*GOOD, CLASH])
    assert list(read(path)) == [*GOOD, CLASH]
