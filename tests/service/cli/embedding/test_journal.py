from pathlib import Path

import numpy as np
import pytest

from service.cli.embedding.errors import JournalError
from service.cli.embedding.journal import Header, Journal, Row

HEADER = Header("s", "infini", 100, "d" * 64, 4)


def row(seq: int) -> Row:
    rng = np.random.default_rng(seq)
    vector = rng.standard_normal(4).astype(np.float32)
    return Row(seq, f"text {seq}\n\u2028é\0", vector, 3, 3 * seq, 3 * seq + 3)


def same(a: Row, b: Row) -> bool:
    return (
        (a.seq, a.text, a.tokens, a.token_start, a.token_end)
        == (b.seq, b.text, b.tokens, b.token_start, b.token_end)
        and a.embedding.dtype == b.embedding.dtype
        and np.array_equal(a.embedding, b.embedding)
    )


@pytest.fixture
def path(tmp_path):
    return tmp_path / "out.jsonl.part"


def written(path: Path, count: int) -> bytes:
    with Journal(path) as journal:
        journal.begin(HEADER)
        journal.append(row(seq) for seq in range(count))
    return path.read_bytes()


def test_a_new_journal_is_empty(path):
    with Journal(path) as journal:
        assert (journal.header, journal.rows) == (None, 0)


def test_rows_come_back_bit_for_bit(path):
    written(path, 5)
    with Journal(path) as journal:
        assert journal.header == HEADER
        assert all(same(a, row(seq)) for seq, a in enumerate(journal.read()))
        assert journal.rows == len(list(journal.read())) == 5


def test_rows_are_readable_while_more_are_written(path):
    with Journal(path) as journal:
        journal.begin(HEADER)
        journal.append([row(0), row(1)])
        before = journal.read()
        assert same(next(before), row(0))
        journal.append([row(2)])
        assert [r.seq for r in before] == [1]
        assert [r.seq for r in journal.read()] == [0, 1, 2]


def test_a_crash_at_any_byte_loses_at_most_the_line_it_tore(path):
    whole = written(path, 3)
    ends = [i + 1 for i, byte in enumerate(whole) if byte == ord("\n")]
    for cut in range(len(whole) + 1):
        path.write_bytes(whole[:cut])
        complete = sum(end <= cut for end in ends)
        with Journal(path) as journal:
            assert journal.rows == max(complete - 1, 0)
            if complete == 0:
                assert journal.header is None
                journal.begin(HEADER)
            journal.append(row(seq) for seq in range(journal.rows, 3))
        assert path.read_bytes() == whole


@pytest.mark.parametrize("tail", [b"\0" * 40 + b"\n", b"{}\n", b"garbage\n"])
def test_a_last_line_that_is_no_row_is_dropped(path, tail):
    whole = written(path, 2)
    path.write_bytes(whole + tail)
    with Journal(path) as journal:
        assert journal.rows == 2
    assert path.read_bytes() == whole


@pytest.mark.parametrize("line", [0, 1, 2])
def test_damage_in_the_middle_is_not_passed_over(path, line):
    lines = written(path, 4).splitlines(keepends=True)
    lines[line] = b"garbage\n"
    path.write_bytes(b"".join(lines))
    with pytest.raises(JournalError, match=f"byte {sum(map(len, lines[:line]))}, or no journal"):
        Journal(path)
    assert path.read_bytes() == b"".join(lines)


def test_a_missing_row_is_damage(path):
    lines = written(path, 4).splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:2], *lines[3:]]))
    with pytest.raises(JournalError, match="damaged"):
        Journal(path)


def test_a_file_that_is_no_journal_is_left_alone(path):
    path.write_text("my precious notes\nmore of them\n")
    with pytest.raises(JournalError, match="no journal"):
        Journal(path)
    assert path.read_text() == "my precious notes\nmore of them\n"


def test_one_process_at_a_time(path):
    with Journal(path), pytest.raises(JournalError, match="another process"):
        Journal(path)
    with Journal(path):
        pass


def test_beginning_again_empties_it(path):
    written(path, 3)
    with Journal(path) as journal:
        journal.begin(HEADER)
        assert (journal.rows, list(journal.read())) == (0, [])


@pytest.mark.parametrize(
    "notes",
    [
        "my precious note",
        "my precious note\n",
        "{}",
        '{"format":"another"}\n',
        "\0" * 30,
        '{"format":"longstream embed journal 1"}\n',
    ],
)
def test_one_line_of_somebody_else_is_left_alone(path, notes):
    path.write_text(notes)
    with pytest.raises(JournalError, match="no journal"):
        Journal(path)
    assert path.read_text() == notes


def test_a_journal_without_rows_does_not_stay(path):
    with Journal(path):
        pass
    assert not path.exists()
    with Journal(path) as journal:
        journal.begin(HEADER)
        assert path.exists()
    assert not path.exists()
    written(path, 1)
    with Journal(path):
        pass
    assert path.exists()


def test_leaving_a_removed_journal_spares_the_next_one(path):
    with Journal(path) as journal:
        journal.remove()
        path.write_text("the next one")
    assert path.read_text() == "the next one"


def test_a_file_that_is_removed_while_it_is_opened_is_in_use(path, monkeypatch):
    def removed_first(*_args: object) -> None:
        path.unlink()

    monkeypatch.setattr("service.cli.embedding.journal.fcntl.flock", removed_first)
    with pytest.raises(JournalError, match="another process"):
        Journal(path)
