"""A step's documents, parts and answers: reproducible, in their place, and never without a question."""

from dataclasses import replace

import pytest

from models.errors import FitError
from models.evaluate.data import Query, RetrievalSet
from models.fit.context.draws import QUERIES_PER_DOCUMENT, Before, Draws


def _numbered(name: str, documents: int, chunks: int) -> RetrievalSet:
    """Return a set whose texts say where they stand, and whose questions say where their answers do."""
    return RetrievalSet(
        name,
        tuple(tuple(f"{i}:{j}" for j in range(chunks)) for i in range(documents)),
        tuple(
            Query(
                f"{i}:{j} {i}:{(j + 1) % chunks}",
                i,
                (i * chunks + j, i * chunks + (j + 1) % chunks),
            )
            for i in range(documents)
            for j in range(chunks)
        ),
    )


def _draws(*sets: RetrievalSet, chunks: int = 6, seed: int = 0, **weights: float) -> Draws:
    return Draws(sets, weights, 3, chunks, seed)


def test_a_step_depends_on_the_seed_and_its_number_alone():
    data = _numbered("a", 9, 20)
    first, again = _draws(data), _draws(data)
    backwards = [again.draw(step) for step in reversed(range(8))][::-1]
    assert [first.draw(step) for step in range(8)] == backwards
    assert first.draw(0) != first.draw(1)
    assert first.draw(0) != _draws(data, seed=1).draw(0)


def test_answers_stand_where_the_part_says_and_others_are_not_asked_for():
    draws = _draws(_numbered("a", 9, 20), chunks=15)
    starts, partial = set(), 0
    for step in range(40):
        readings = draws.draw(step).readings
        assert len({reading.span.document for reading in readings}) == 3
        for reading in readings:
            span = reading.span
            assert span.chunks == tuple(
                f"{span.document}:{j}" for j in range(span.start, span.start + 15)
            )
            starts.add(span.start)
            assert 0 < len(reading.queries) == len(reading.gold) <= QUERIES_PER_DOCUMENT
            for text, gold in zip(reading.queries, reading.gold, strict=True):
                inside = {chunk for chunk in text.split() if chunk in span.chunks}
                assert {span.chunks[place] for place in gold} == inside
                partial += len(inside) == 1
    assert min(starts) == 0
    assert max(starts) > 0
    assert partial > 0


@pytest.mark.parametrize("before", [Before(0.25, 1), Before(0.8, 4)])
def test_what_is_read_before_are_the_ends_of_other_documents(before: Before):
    draws = Draws([_numbered("a", 9, 20)], {}, 3, 6, 0, before)
    readings = [reading for step in range(40) for reading in draws.draw(step).readings]
    found = [reading for reading in readings if reading.before]
    assert before.share - 0.15 < len(found) / len(readings) < before.share + 0.15
    assert {len(reading.before) for reading in found} == set(range(1, before.documents + 1))
    for reading in found:
        for span in reading.before:
            assert span.document != reading.span.document
            assert 1 <= len(span.chunks) < 3
            assert span.chunks == tuple(f"{span.document}:{j}" for j in range(span.start, 20))


def test_weights_say_how_often_a_set_is_drawn_and_small_sets_never_are():
    often, seldom, small = _numbered("often", 5, 4), _numbered("seldom", 5, 4), _numbered("s", 2, 4)
    draws = _draws(often, seldom, small, often=9.0)
    assert draws.names == ["often", "seldom"]
    names = [draws.draw(step).name for step in range(100)]
    assert 5 <= names.count("seldom") <= 20
    with pytest.raises(FitError, match="no set has 3 documents of 3 chunks with queries"):
        _draws(small, _numbered("short", 9, 2))


def test_documents_without_queries_are_not_drawn():
    data = _numbered("a", 6, 4)
    asked = replace(data, queries=tuple(q for q in data.queries if q.document != 2))
    draws = _draws(asked)
    drawn = {r.span.document for step in range(30) for r in draws.draw(step).readings}
    assert drawn == {0, 1, 3, 4, 5}


def test_a_step_is_never_without_a_question():
    """Answers that stand late are missed by most parts: a step that misses all of them is drawn again."""
    data = _numbered("late", 4, 40)
    late = replace(data, queries=tuple(q for q in data.queries if q.gold[0] % 40 == 38))
    draws = _draws(late)
    for step in range(30):
        assert any(reading.queries for reading in draws.draw(step).readings)
