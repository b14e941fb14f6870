"""Numbers of a segment: whole ones, never those that a border cuts."""

import pytest

from models.loading import LoadedEncoder
from models.recall import NumberPieces, NumberRun
from tests.models.recall.heads import PIECES, WORD


def runs(*ids: int, slots: int = 6, window: int = 20) -> list[NumberRun]:
    return list(PIECES.runs((0, *ids, 1), slots, window))


def test_neighbouring_pieces_are_one_number():
    assert runs(WORD, 17, 23, WORD, 12, 15) == [NumberRun(2, 4, "173"), NumberRun(5, 7, "1215")]
    assert runs(WORD, WORD) == []


def test_a_number_of_more_digits_than_slots_is_passed_over():
    assert runs(17, 18, 19, slots=6) == [NumberRun(1, 4, "171819")]
    assert runs(17, 18, 19, slots=5) == []


@pytest.mark.parametrize(
    ("ids", "found"),
    [
        ((20, WORD, 13), ["13"]),  # goes on from the segment before
        ((12, WORD, 13), ["12", "13"]),  # a short segment ends where its text does
        ((12, WORD, WORD, 13), ["12"]),  # a full one may end inside a number
    ],
)
def test_a_number_that_a_border_cuts_is_passed_over(ids: tuple[int, ...], found: list[str]):
    assert [run.digits for run in runs(*ids, window=6)] == found


def test_the_pieces_of_a_vocabulary_spell_every_number(multi_head: LoadedEncoder):
    pieces = NumberPieces.of(multi_head.tokenizer)
    assert len(pieces.pieces) > 800
    for number in ("7", "00412", "73622", "1812", "999999", "12345678"):
        for text in (number, " ".join(number)):
            segment = multi_head.tokenizer.segments([f"It is {text}."])[0][0]
            assert [run.digits for run in pieces.runs(segment.ids, 8, 256)] == [number]
    none = multi_head.tokenizer.segments(["Chapter IV, the fourth, of B2B and x²"])[0][0]
    assert [run.digits for run in pieces.runs(none.ids, 8, 256)] in ([], ["2"])
