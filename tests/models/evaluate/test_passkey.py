"""The passkey evaluation: sums of writes are what streaming gives, and figures count what they say."""

import json
from pathlib import Path

import pytest
import torch

from models.checkpoints import packaged
from models.evaluate.errors import DataError, EvaluationError
from models.evaluate.passkey import describe, main, measure_probe
from models.evaluate.passkey_filler import Filler, Reader
from models.evaluate.passkey_measure import Cell, Passkey
from models.evaluate.passkey_probe import read_probe
from models.evaluate.passkey_texts import LOOP, UNSEEN, UNSEEN_KINDS, Needles
from models.fit.recall_texts import KINDS, NAMED_STATEMENTS
from models.loading import LoadedEncoder
from models.recall import NumberPieces, RecallHead, RecallOptions, load_recall
from tests.models.conftest import WEIGHTS

NUMBERED = "In 1812 the army lost 30 men at the river. " + LOOP * 9


@pytest.fixture(scope="module")
def trained(multi_head: LoadedEncoder) -> Reader:
    file = packaged("recall", "safetensors")
    assert file is not None
    return Reader(multi_head, load_recall(file, multi_head.base_sha256))


@pytest.fixture(scope="module")
def leaking(multi_head: LoadedEncoder) -> Reader:
    """Return a reader whose head writes every number."""
    torch.manual_seed(0)
    head = RecallHead(RecallOptions(), NumberPieces.of(multi_head.tokenizer))
    with torch.no_grad():
        head.gate_score.bias.fill_(0.5)
    return Reader(multi_head, head.eval())


def test_a_needle_is_found_at_any_length_and_depth(trained: Reader):
    filler = Filler.of("loop", LOOP * 30, trained)
    passkey = Passkey(filler, 2)
    for depth in ("start", "end"):
        short, long = passkey.depth("named", depth, [1000, 10_000_000])
        assert (short.tokens, short.hits, short.of) == (1000, 2, 2)
        assert (long.tokens, long.hits, long.of) == (10_000_000, 2, 2)
        assert short.task == f"named, {depth}"


def test_what_was_not_read_is_not_known(trained: Reader):
    passkey = Passkey(Filler.of("loop", LOOP * 30, trained), 3)
    assert [cell.hits for cell in passkey.reset([1000, 2000])] == [0, 0]
    assert passkey.absent(0, [1000])[0].hits == 0


def test_numbers_of_a_book_are_not_written(trained: Reader, leaking: Reader):
    assert describe(Filler.of("book", NUMBERED * 4, trained))["chunks_that_write"] == 0
    assert describe(Filler.of("book", NUMBERED * 4, leaking))["chunks_that_write"] > 0


def test_a_sum_of_writes_is_the_state_after_streaming(leaking: Reader):
    filler = Filler.of("book", NUMBERED * 4, leaking)
    assert filler.numbers == 8
    streamed = Passkey(filler, 2).streamed(1500)
    assert (streamed.hits, streamed.of) == (2, 2)


@pytest.mark.parametrize("start", [0, 2, -3])
@pytest.mark.parametrize("count", [1, 3, 11])
def test_a_filler_goes_round(leaking: Reader, start: int, count: int):
    filler = Filler.of("book", NUMBERED * 4, leaking)
    assert 1 < len(filler.chunks) < 11
    segments = [segment for chunk in filler.read(start, count) for segment in chunk]
    read = leaking.write(segments, leaking.head.empty())
    for name, part in filler.written(start, count).items():
        assert torch.allclose(part, read[name], atol=1e-4)


def test_a_filler_must_not_be_empty(leaking: Reader):
    with pytest.raises(EvaluationError, match="is empty"):
        Filler.of("blank", " \n ", leaking)


def test_the_command_writes_figures_and_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    book, out = tmp_path / "book.txt", tmp_path / "passkey.json"
    book.write_text(NUMBERED * 12, "utf-8")
    main([book], weights=WEIGHTS, documents=1, longest=4000, out=out)
    found = json.loads(out.read_text("utf-8"))
    assert found["state_bytes"] == 215_040
    assert [(f["name"], f["chunks_that_write"]) for f in found["fillers"]] == [
        ("loop", 0),
        ("book", 0),
    ]
    cells = {(c["filler"], c["task"]): (c["hits"], c["of"]) for c in found["cells"]}
    assert len(cells) == len(found["cells"]) == (9 + 3) + (9 + 3 + 4)
    assert cells["book", "named, middle"] == (1, 1)
    assert cells["book", "right after a reset"] == (0, 1)
    assert cells["book", "streamed as summed"] == (1, 1)
    table = capsys.readouterr().out
    assert "State: 215,040 bytes" in table
    assert "| book | named, middle | 100 % of 1 |" in table


def test_the_command_says_what_it_cannot_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(EvaluationError, match="cannot read"):
        main([tmp_path / "missing.txt"], weights=WEIGHTS, documents=1)
    assert not capsys.readouterr().out


def test_an_interval_is_wilsons():
    low, high = Cell("book", "task", 1, 100, 100).interval
    assert low == pytest.approx(0.963, abs=1e-3)
    assert high == pytest.approx(1.0)
    low, high = Cell("book", "task", 1, 50, 100).interval
    assert low == pytest.approx(0.404, abs=1e-3)
    assert high == pytest.approx(0.596, abs=1e-3)


def test_needles_of_a_document_have_names_and_numbers_of_their_own():
    needles = Needles(0).draw(16, "named")
    assert len({needle.name for needle in needles}) == 16
    assert len({needle.digits for needle in needles}) == 16
    assert all(n.digits in n.statement and n.name in n.question for n in needles)
    assert needles == Needles(0).draw(16, "named")


def test_unseen_phrasings_are_not_trained_on():
    assert not set(UNSEEN) & set(NAMED_STATEMENTS)
    assert not set(UNSEEN_KINDS) & set(KINDS)


def test_a_probe_is_read_and_asked(trained: Reader, tmp_path: Path):
    chunks = [LOOP, "The pass key of Nora Quist is 73622. Remember it.", LOOP]
    docs = {
        "doc_id": "a",
        "title": "",
        "chunks": [{"chunk_id": f"a#{i}", "text": t} for i, t in enumerate(chunks)],
    }
    query = {
        "text": "What is the pass key of Nora Quist?",
        "doc_id": "a",
        "answer": "73622",
        "family": "passkey",
    }
    other = query | {"family": "link"}
    (tmp_path / "docs.jsonl").write_text(json.dumps(docs) + "\n", "utf-8")
    (tmp_path / "queries.jsonl").write_text(f"{json.dumps(query)}\n{json.dumps(other)}\n", "utf-8")
    cell = measure_probe(trained, tmp_path)
    assert (cell.hits, cell.of) == (1, 1)
    (tmp_path / "queries.jsonl").write_text(json.dumps(other) + "\n", "utf-8")
    with pytest.raises(DataError, match="no questions of family passkey"):
        read_probe(tmp_path)
    (tmp_path / "docs.jsonl").write_text("{}\n", "utf-8")
    with pytest.raises(DataError, match="is no probe"):
        read_probe(tmp_path)
