from dataclasses import replace

import pytest

from models.evaluate import RetrievalSet
from models.evaluate.context.cuts import Cut, content, overlapping, with_titles
from models.tokenizer import Tokenizer
from tests.models.evaluate.context.conftest import DOCUMENTS

LETTERS = ["[CLS]", "[SEP]", "[UNK]", *"abcdefghijklmnopqrstuvwxyz"]


def texts(cut: Cut) -> list[list[str]]:
    return [
        ["".join(LETTERS[token] for token in content(chunk)) for chunk in chunks]
        for chunks in cut.documents
    ]


def test_all_of_every_chunk_is_there(tokenizer: Tokenizer):
    cut = Cut.of(tokenizer, DOCUMENTS)
    assert cut.starts == [0, 4, 6, 7, 10]
    assert [[len(content(chunk)) for chunk in chunks] for chunks in cut.documents] == [
        [len(text) for text in chunks] for chunks in DOCUMENTS
    ]
    assert [len(chunk) for chunk in cut.documents[0]] == [1, 2, 1, 2]
    segments = sum(len(chunk) for chunks in cut.documents for chunk in chunks)
    assert cut.tokens == sum(len(text) for chunks in DOCUMENTS for text in chunks) + 2 * segments


def test_windows_begin_with_the_tail_of_what_came_before(tokenizer: Tokenizer):
    cut = Cut.of(tokenizer, [("abcdefghij", "klmnopqrst", "uvwxyz"), ("ab", "cdefghijkl")])
    assert texts(overlapping(tokenizer, cut, 0.2)) == [
        ["abcdefghij", "ijklmnopqr", "tuvwxy"],
        ["ab", "abcdefghij"],
    ]
    assert texts(overlapping(tokenizer, cut, 0.5))[1] == ["ab", "abcdefghij"]  # there is no more


def test_windows_have_as_many_tokens_as_chunks(tokenizer: Tokenizer):
    cut = Cut.of(tokenizer, DOCUMENTS)
    moved = overlapping(tokenizer, cut)
    assert moved.lengths.tolist() == cut.lengths.tolist()
    assert [len(c) for chunks in moved.documents for c in chunks] == [
        len(c) for chunks in cut.documents for c in chunks
    ]


@pytest.mark.parametrize("title", ["lava", ""])
def test_titles_stand_before_chunks_of_documents_that_have_one(tokenizer: Tokenizer, title: str):
    data = RetrievalSet("x", (("a", "b"), ("c",)), (), {}, ("0", "1"), (title, "beach"))
    found = with_titles(tokenizer, data)
    assert found is not None
    lead = "lava[UNK][UNK]" if title else ""
    assert texts(found) == [[f"{lead}a", f"{lead}b"], ["beach[UNK][UNK]c"]]
    assert with_titles(tokenizer, replace(data, titles=("", ""))) is None
    assert with_titles(tokenizer, replace(data, titles=())) is None
