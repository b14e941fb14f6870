"""What is read as training text, from which files, and what is said of a file of another shape."""

import json
from pathlib import Path

import pytest

from models.errors import TextError
from models.fit.texts import read_texts

CHUNK = "It rains. The river rises! Who saw it? Nobody. The bridge falls."
WORDNET = [
    "  1 This software and database is being provided to you, the LICENSEE.",
    '00001740 03 n 01 entity 0 000 | that which is perceived; "it was full of rackets"; "no one came"',
    "00001930 03 n 01 thing 0 000 | a plain | gloss",
]
GLOSSES = ["that which is perceived", "it was full of rackets", "no one came", "gloss"]


def write(file: Path, *lines: str | dict[str, object]) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    written = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    file.write_text("\n".join(written) + "\n", "utf-8")
    return file


def test_a_text_file_holds_a_text_a_line_each_read_once(tmp_path: Path):
    file = write(tmp_path / "a.txt", "  one ", "", "two", "one", " \t ")
    assert read_texts([file]) == ["one", "two"]


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ({"query_id": 1, "text": "a query"}, ["a query"]),
        ({"s1": "one", "s2": "two", "score": 0.4}, ["one", "two"]),
        ({"sentences": ["one", "two"]}, ["one", "two"]),
        ({"doc_id": 1, "summary": "not read"}, []),
    ],
    ids=["query", "pair", "sentences", "summary"],
)
def test_each_shape_of_record_gives_its_texts(tmp_path: Path, record, expected):
    file = write(tmp_path / "a.jsonl", record, {"text": "last"})
    assert read_texts([file]) == [*expected, "last"]


def test_chunks_are_read_whole_and_in_groups_of_one_two_three_four_sentences(tmp_path: Path):
    whole = [f"{CHUNK} {i}." for i in range(5)]
    chunks = [{"text": text} for text in whole]
    found = read_texts([write(tmp_path / "docs.jsonl", {"doc_id": 1, "chunks": chunks})])
    assert [text for text in found if text in whole] == whole
    second = found[found.index(whole[1]) + 1 : found.index(whole[2])]
    assert second == ["It rains. The river rises!", "Who saw it? Nobody.", "The bridge falls. 1."]
    first = found[1 : found.index(whole[1])]
    assert first == [
        *("It rains.", "The river rises!", "Who saw it?", "Nobody.", "The bridge falls. 0.")
    ]
    fourth = found[found.index(whole[3]) + 1 : found.index(whole[4])]
    assert fourth == ["It rains. The river rises! Who saw it? Nobody.", "The bridge falls. 3."]


def test_wordnet_gives_definitions_and_examples(tmp_path: Path):
    file = write(tmp_path / "data.noun", *WORDNET)
    assert read_texts([file]) == GLOSSES


def test_a_folder_gives_its_training_splits_only(tmp_path: Path):
    sets = tmp_path / "sets"
    read = ["peps/train/docs.jsonl", "peps/train/more/queries.jsonl", "stsb/en_train.jsonl"]
    left = [
        *("peps/dev/docs.jsonl", "peps/test/docs.jsonl", "stsb/en_dev.jsonl", "all.jsonl"),
        *("stsb/en_test.jsonl", "peps/training/docs.jsonl", "stsb/en_train.json", "train.jsonl"),
    ]
    for name in [*read, *left]:
        write(sets / name, {"text": name})
    write(sets / "books/war.txt", "a book")
    write(sets / "wordnet/data.verb", *WORDNET)
    assert read_texts([sets]) == [*read, *GLOSSES]
    assert read_texts([sets / "peps/dev/docs.jsonl"]) == [
        "peps/dev/docs.jsonl"
    ]  # asked for by name


def test_the_order_is_that_of_names_and_of_sources(tmp_path: Path):
    for name in ("b", "a", "c"):
        write(tmp_path / "sets/train" / f"{name}.jsonl", {"text": name})
    extra = write(tmp_path / "z.txt", "z")
    assert read_texts([extra, tmp_path / "sets"]) == ["z", "a", "b", "c"]


@pytest.mark.parametrize("line", ['{"other": 1}', "[]", "{", ""])
def test_a_line_of_another_shape_is_named(tmp_path: Path, line: str):
    file = write(tmp_path / "bad.jsonl", {"text": "fine"}, line)
    with pytest.raises(TextError, match=r"bad\.jsonl, line 2: "):
        read_texts([file])


def test_a_source_with_nothing_to_read_is_named(tmp_path: Path):
    (tmp_path / "empty").mkdir()
    sources = [tmp_path / "empty", tmp_path / "nowhere", write(tmp_path / "blank.txt", " ", "")]
    for source in sources:
        with pytest.raises(TextError, match=f"no training texts in .*{source.name}"):
            read_texts([source])
