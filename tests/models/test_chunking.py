# ruff: noqa: RUF001 - typographic and full-width punctuation is the subject
import random
import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.chunking import TextSplitter, split_text

WESTERN = [
    "word",
    "Mr. X",
    "end.",
    'said."',
    "a" * 30,
    "3.14",
    "!",
    " ",
    "  ",
    "\n",
    "\n\n",
    "\r\n",
]
OTHERS = [
    "。",
    "？」",
    "汉字",
    "e\u0301",
    "👩\u200d👩\u200d👧",
    "👍🏽",
    "🇨🇭",
    "x\ufe0f",
    "…",
    "\u2028",
    "\u00a0",
]
prose = st.lists(st.sampled_from(WESTERN + OTHERS), max_size=80).map("".join)
texts = st.one_of(prose, st.text(max_size=300))
sizes = st.integers(min_value=1, max_value=60)


def fed(text: str, max_chars: int, cuts: list[int]) -> list[str]:
    splitter = TextSplitter(max_chars)
    bounds = [0, *sorted(cut % (len(text) + 1) for cut in cuts), len(text)]
    chunks = [chunk for a, b in pairwise(bounds) for chunk in splitter.feed(text[a:b])]
    return chunks + splitter.finish()


@given(texts, sizes)
def test_joined_chunks_are_the_text(text, max_chars):
    assert "".join(split_text(text, max_chars)) == text


@given(texts, sizes)
def test_no_chunk_is_empty_or_too_long(text, max_chars):
    assert all(1 <= len(chunk) <= max_chars for chunk in split_text(text, max_chars))


@given(texts, sizes, st.lists(st.integers(min_value=0, max_value=400), max_size=20))
def test_feeding_in_pieces_changes_nothing(text, max_chars, cuts):
    assert fed(text, max_chars, cuts) == list(split_text(text, max_chars))


@given(texts, sizes)
def test_feeding_character_by_character_changes_nothing(text, max_chars):
    assert fed(text, max_chars, list(range(len(text)))) == list(split_text(text, max_chars))


@given(prose.filter(bool), st.integers(min_value=8, max_value=60))
def test_the_buffer_stays_within_a_window(text, max_chars):
    splitter = TextSplitter(max_chars)
    for char in text:
        splitter.feed(char)
        assert sum(map(len, splitter._pieces)) <= max_chars


@pytest.mark.parametrize(
    ("text", "max_chars", "expected"),
    [
        ("One two. Three four five", 20, ["One two. Three four ", "five"]),
        ("One two three. Four five", 20, ["One two three. ", "Four five"]),
        ('He said "so it is." Then he left.', 24, ['He said "so it is." ', "Then he left."]),
        ("Pi is 3.14159 and more 12", 20, ["Pi is 3.14159 and ", "more 12"]),
        ("title line\n\nbody goes on here", 20, ["title line\n\n", "body goes on here"]),
        ("这是一句话。这是另一句话没有空格", 10, ["这是一句话。", "这是另一句话没有空格"]),
        ("他说：「好？」然后走了很远很远", 10, ["他说：「好？」", "然后走了很远很远"]),
        ("aaaaaaaaaabbbbb", 10, ["aaaaaaaaaa", "bbbbb"]),
        ("a bbbbbbbbbbbb", 10, ["a ", "bbbbbbbbbb", "bb"]),
        ("   bbbbbbbbbb", 10, ["   bbbbbbb", "bbb"]),
        ("exact word end", 10, ["exact word", " end"]),
        ("", 10, []),
        ("short.", 6, ["short."]),
    ],
)
def test_where_it_cuts(text, max_chars, expected):
    assert list(split_text(text, max_chars)) == expected


@pytest.mark.parametrize(
    "cluster",
    ["e\u0301", "👩\u200d👩\u200d👧\u200d👦", "👍🏽", "🇨🇭", "🏳\ufe0f\u200d🌈", "\r\n", "क्षि"],
)
def test_what_displays_as_one_stays_together(cluster):
    for before in range(1, 12):
        chunks = list(split_text("x" * before + cluster + "y" * 12, 12))
        assert sum(cluster in chunk for chunk in chunks) == 1, before


def test_flags_in_a_row_are_cut_between_flags():
    assert list(split_text("🇨🇭" * 9, 7)) == ["🇨🇭" * 3] * 3


def test_a_letter_buried_under_marks_is_cut_anyway():
    text = "a" + "\u0301" * 500
    assert [len(chunk) for chunk in split_text(text, 100)] == [100, 100, 100, 100, 100, 1]


def test_a_splitter_begins_again_after_finish():
    splitter = TextSplitter(10)
    splitter.feed("left over")
    assert splitter.finish() == ["left over"]
    assert splitter.feed("next") == []
    assert splitter.finish() == ["next"]
    assert splitter.finish() == []


@pytest.mark.parametrize("max_chars", [0, -1])
def test_a_window_of_nothing_is_refused(max_chars):
    with pytest.raises(ValueError, match="max_chars must be at least 1"):
        TextSplitter(max_chars)


@pytest.mark.parametrize(
    "unit",
    ["It was a dark night, and rain fell. ", "a", ".", '."', "\n ", " ", "\u0301", "🇨🇭", ".)))"],
)
def test_time_is_linear_whatever_the_text(unit):
    text = unit * (3_000_000 // len(unit))
    started = time.process_time()
    chunks = list(split_text(text))
    # Prose takes 0.1 s; the bound allows for a busy machine and is far below anything quadratic.
    assert time.process_time() - started < 5
    assert sum(map(len, chunks)) == len(text)


def test_random_pieces_of_a_long_text_give_the_same_chunks():
    rng = random.Random(7)  # noqa: S311 - a seeded test
    text = "".join(rng.choices("abc de.fg!\n汉。", k=50_000))
    cuts = [rng.randrange(len(text)) for _ in range(500)]
    assert fed(text, 1000, cuts) == list(split_text(text, 1000))
