import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from models.evaluate import DataError, EvaluationError
from models.evaluate.reading import read_retrieval_set, read_sentence_pairs
from models.evaluate.sources import find_pairs, find_sets
from tests.models.evaluate.conftest import DATA

GARDEN = DATA / "garden" / "dev"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of a set, to be broken."""
    return shutil.copytree(GARDEN, tmp_path / "set")


def test_a_set_is_read_in_its_order():
    data = read_retrieval_set("garden", GARDEN)
    assert [len(chunks) for chunks in data.documents] == [3, 3, 3, 3]
    assert data.documents[1][2] == "The last keeper retired when the light became automatic."
    assert data.chunk_documents.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert data.query_documents.tolist() == [0, 0, 0, 1, 1, 2, 2, 2, 3, 3, 3]
    assert data.queries[7].gold == (6, 8)
    assert set(data.sources) == {"docs.jsonl", "queries.jsonl"}


def test_names_titles_and_kinds_of_questions_are_kept(folder: Path):
    asked = query(family="link", distance=4)
    with (folder / "queries.jsonl").open("a") as file:
        file.write(asked + "\n")
    with (folder / "docs.jsonl").open("a") as file:
        file.write(document() + "\n")
    data = read_retrieval_set("set", folder)
    assert data.doc_ids == ("bees", "lighthouse", "chess", "volcano", "new")
    assert data.titles[2:] == ("A chess club", "An island volcano", "")
    assert [(q.family, q.distance) for q in data.queries[-2:]] == [(None, None), ("link", 4)]
    assert read_retrieval_set("set", folder, limit=2).doc_ids == ("bees", "lighthouse")


def test_a_limit_keeps_the_first_documents_and_their_queries():
    data = read_retrieval_set("garden", GARDEN, limit=2)
    assert len(data.documents) == 2
    assert {query.document for query in data.queries} == {0, 1}
    assert len(data.queries) == 5


def test_sentence_pairs():
    found = find_pairs(None, DATA, "dev")
    assert found is not None
    assert found.name == "stsb"
    assert found.second[1] == "A woman is peeling an apple."
    assert np.array_equal(found.scores[:3], [4.6, 5.0, 4.8])
    assert find_pairs(None, None, "dev") is None


def test_sets_by_name_and_by_path(folder: Path):
    by_name, by_path = find_sets(["garden", str(folder)], DATA, "dev")
    assert (by_name.name, by_path.name) == ("garden", str(folder))
    assert by_name.documents == by_path.documents
    with pytest.raises(EvaluationError, match="'garden' is a name"):
        find_sets(["garden"], None, "dev")


def query(**changes: object) -> str:
    good = {"text": "Where?", "doc_id": "bees", "gold_chunk_ids": ["bees#0"]}
    return json.dumps({**good, **changes})


def document(**changes: object) -> str:
    good = {"doc_id": "new", "chunks": [{"chunk_id": "0", "text": "One."}]}
    return json.dumps({**good, **changes})


@pytest.mark.parametrize(
    ("file", "line", "says"),
    [
        ("queries.jsonl", "{", "not JSON"),
        ("queries.jsonl", "[]", r"must be an object, not \[\]"),
        ("queries.jsonl", '{"text": "\\ud800"}', "not JSON"),
        ("queries.jsonl", query(text=None), "'text' must be a string, and is missing"),
        ("queries.jsonl", query(doc_id="x"), "there is no document 'x'"),
        ("queries.jsonl", query(family=3), "'family' must be a string, not 3"),
        ("queries.jsonl", query(distance="far"), "'distance' must be a number"),
        ("queries.jsonl", query(gold_chunk_ids=[]), "'gold_chunk_ids' must be a list"),
        ("queries.jsonl", query(gold_chunk_ids=["chess#0"]), "'bees' has no chunk 'chess#0'"),
        ("queries.jsonl", query(gold_chunk_ids=[["bees#0"]]), "has no chunk"),
        ("docs.jsonl", document(doc_id="bees"), "'bees' was there before"),
        ("docs.jsonl", document(chunks=[]), "'chunks' must be a list"),
        ("docs.jsonl", document(title=[]), r"'title' must be a string, not \[\]"),
        ("docs.jsonl", document(chunks=["One."]), 'must be an object, not "One."'),
        ("docs.jsonl", document(chunks=[{"chunk_id": "0"}]), "'text' must be a string"),
        (
            "docs.jsonl",
            document(chunks=[{"chunk_id": "0", "text": "a"}] * 2),
            "chunk '0' was there before",
        ),
    ],
)
def test_a_line_that_does_not_fit_is_named(folder: Path, file: str, line: str, says: str):
    broken = folder / file
    lines = broken.read_text().splitlines()
    broken.write_text("\n".join([*lines, "", line]))
    with pytest.raises(DataError, match=says) as caught:
        read_retrieval_set("set", folder, limit=1)
    assert (caught.value.file, caught.value.line) == (broken, len(lines) + 2)
    assert str(caught.value).startswith(f"{broken}:{len(lines) + 2}: ")


def test_bytes_that_are_not_text_are_named(folder: Path):
    (folder / "docs.jsonl").write_bytes(b'{"doc_id": "\xff"}')
    with pytest.raises(DataError, match=r"docs\.jsonl:1: not JSON"):
        read_retrieval_set("set", folder)


@pytest.mark.parametrize("file", ["docs.jsonl", "queries.jsonl"])
def test_a_missing_and_an_empty_file_are_named(folder: Path, file: str):
    (folder / file).write_text("")
    with pytest.raises(DataError, match=f"{file}: there are no"):
        read_retrieval_set("set", folder)
    (folder / file).unlink()
    with pytest.raises(DataError, match=f"{file}: cannot be read: No such file"):
        read_retrieval_set("set", folder)


@pytest.mark.parametrize("score", ['"3"', "true", "null", "1e999"])
def test_a_score_is_a_number(tmp_path: Path, score: str):
    file = tmp_path / "pairs.jsonl"
    file.write_text(f'{{"s1": "a", "s2": "b", "score": {score}}}\n')
    with pytest.raises(DataError, match=r"pairs\.jsonl:1: "):
        read_sentence_pairs("pairs", file)


def test_one_pair_has_no_order(tmp_path: Path):
    file = tmp_path / "pairs.jsonl"
    file.write_text('{"s1": "a", "s2": "b", "score": 1}\n')
    with pytest.raises(DataError, match="only 1 sentence pairs"):
        read_sentence_pairs("pairs", file)
