"""Text to segments and tokens: nothing is truncated, and every token says where it stands."""

import unicodedata
from pathlib import Path

import pytest

from models.errors import TextError, WeightsError
from models.packing import Segment
from models.tokenizer import Tokenizer
from models.weights import locate
from tests.models.conftest import WEIGHTS
from tests.models.small import WORDS, random_texts, write_tokenizer
from tests.texts import SENTENCES

CLS, SEP = 101, 102


@pytest.fixture(scope="module")
def published() -> Tokenizer:
    return Tokenizer(locate(WEIGHTS).file("tokenizer.json"), 256)


@pytest.fixture
def tiny(tmp_path: Path) -> Tokenizer:
    return Tokenizer(write_tokenizer(tmp_path / "tokenizer.json"), 10)


@pytest.mark.parametrize("words", [0, 1, 7, 8, 9, 16, 17, 100])
def test_every_segment_but_the_last_is_full_and_no_token_is_lost(tiny: Tokenizer, words: int):
    [text] = [" ".join(WORDS[i % len(WORDS)] for i in range(words))]
    [segments] = tiny.segments([text])
    assert len(segments) == max(1, -(-words // 8))
    assert all(segment.content_tokens == 8 for segment in segments[:-1])
    assert all((segment.ids[0], segment.ids[-1]) == (0, 1) for segment in segments)
    joined = tuple(token for segment in segments for token in segment.ids[1:-1])
    assert joined == tiny.tokenize([text])[0].ids
    assert len(joined) == words


def test_a_text_without_tokens_is_one_segment_of_cls_and_sep(published: Tokenizer):
    for text in ("", " ", "\n\t", "\u200b"):
        assert published.segments([text]) == [[Segment((CLS, SEP))]]
        assert published.tokenize([text])[0].ids == ()


def test_segments_of_a_text_do_not_depend_on_its_company(tiny: Tokenizer):
    texts = random_texts(40, longest=30)
    together = tiny.segments(texts)
    assert together == [tiny.segments([text])[0] for text in texts]
    assert tiny.segments([]) == []


@pytest.mark.parametrize("text", [*SENTENCES[:40], "[SEP] in a text", "naïve café", "🙂 ok 👍🏽"])
def test_tokens_say_where_they_stand(published: Tokenizer, text: str):
    [found] = published.tokenize([text])
    assert len(found.ids) == len(found.pieces) == len(found.offsets)
    assert all(0 <= start < end <= len(text) for start, end in found.offsets)
    assert [start for start, _ in found.offsets] == sorted(start for start, _ in found.offsets)
    if text.isascii():
        for piece, (start, end) in zip(found.pieces, found.offsets, strict=True):
            shown = text[start:end]
            assert shown.lower() == piece.removeprefix("##").lower()
    covered = {place for start, end in found.offsets for place in range(start, end)}
    for place in set(range(len(text))) - covered:  # accents are stripped, joiners and selectors too
        assert text[place].isspace() or unicodedata.category(text[place])[0] in "MC"


def test_offsets_count_characters_not_bytes(published: Tokenizer):
    text = "汉字 🙂 word"
    [found] = published.tokenize([text])
    start, end = found.offsets[-1]
    assert (found.pieces[-1], text[start:end]) == ("word", "word")


@pytest.mark.parametrize("text", ["\ud800", "fine \udfff not", "\udc80\ud800"])
def test_an_unpaired_surrogate_is_a_typed_error(published: Tokenizer, text: str):
    for read in (published.segments, published.tokenize):
        with pytest.raises(TextError, match="not valid Unicode"):
            read(["fine", text])


def test_truncation_and_padding_of_the_file_are_switched_off(published: Tokenizer):
    """The published file truncates at 128 tokens and pads to 128."""
    raw = locate(WEIGHTS).file("tokenizer.json").read_text("utf-8")
    assert '"max_length": 128' in raw or '"max_length":128' in raw
    [long] = published.segments(["word " * 1000])
    assert sum(segment.content_tokens for segment in long) == 1000
    [[short]] = published.segments(["word"])
    assert len(short.ids) == 3


def test_a_file_without_cls_or_that_is_none_is_refused(tmp_path: Path):
    file = write_tokenizer(tmp_path / "tokenizer.json")
    file.write_text(file.read_text("utf-8").replace("[CLS]", "[BEGIN]"), "utf-8")
    with pytest.raises(WeightsError, match=r"tokenizer\.json has no \[CLS\] or no \[SEP\]"):
        Tokenizer(file, 10)
    with pytest.raises(WeightsError, match=r"cannot read nothing\.json"):
        Tokenizer(tmp_path / "nothing.json", 10)
