import json

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from service.cli.embedding.formats import WRITERS, write_output
from service.cli.embedding.journal import Header, Journal, Row

DIMENSIONS = 6
COLUMNS = ["seq", "text", "embedding", "tokens", "token_start", "token_end"]


def row(seq: int) -> Row:
    rng = np.random.default_rng(seq)
    vector = rng.standard_normal(DIMENSIONS).astype(np.float32)
    return Row(seq, f"text {seq} é\n", vector, 3, 3 * seq, 3 * seq + 3)


@pytest.fixture
def journal(tmp_path):
    with Journal(tmp_path / "journal.part") as made:
        made.begin(Header("s", "infini", 100, None, DIMENSIONS))
        yield made


def matrix(count: int) -> np.ndarray:
    return np.array([row(seq).embedding for seq in range(count)]).reshape(count, DIMENSIONS)


# One row group, and one more row than a group holds.
counts = pytest.mark.parametrize("count", [0, 1, 7, 1025])


@counts
def test_parquet(journal, tmp_path, count):
    journal.append(row(seq) for seq in range(count))
    write_output(journal, tmp_path / "x.parquet", DIMENSIONS)
    table = parquet.read_table(tmp_path / "x.parquet")
    assert table.column_names == COLUMNS
    assert table.schema.field("embedding").type == pa.list_(pa.float32(), DIMENSIONS)
    flat = table["embedding"].combine_chunks().flatten().to_numpy()
    assert np.array_equal(flat.reshape(count, DIMENSIONS), matrix(count))
    assert table["seq"].to_pylist() == list(range(count))
    assert table["text"].to_pylist() == [row(seq).text for seq in range(count)]
    assert table["token_end"].to_pylist() == [3 * seq + 3 for seq in range(count)]
    groups = parquet.ParquetFile(tmp_path / "x.parquet").metadata.num_row_groups
    assert groups == -(-count // 1024)


@counts
def test_jsonl(journal, tmp_path, count):
    journal.append(row(seq) for seq in range(count))
    write_output(journal, tmp_path / "x.jsonl", DIMENSIONS)
    lines = (tmp_path / "x.jsonl").read_bytes().splitlines()
    values = [json.loads(line) for line in lines]
    assert all(list(value) == COLUMNS for value in values)
    vectors = np.array([value["embedding"] for value in values], dtype=np.float32)
    assert np.array_equal(vectors.reshape(count, DIMENSIONS), matrix(count))
    assert [value["text"] for value in values] == [row(seq).text for seq in range(count)]
    assert [value["token_start"] for value in values] == [3 * seq for seq in range(count)]


@counts
def test_npy(journal, tmp_path, count):
    journal.append(row(seq) for seq in range(count))
    write_output(journal, tmp_path / "x.npy", DIMENSIONS)
    loaded = np.load(tmp_path / "x.npy")
    assert loaded.dtype == np.float32
    assert np.array_equal(loaded, matrix(count))


@pytest.mark.parametrize("suffix", WRITERS)
def test_an_output_appears_whole_or_not_at_all(journal, tmp_path, suffix):
    output = tmp_path / f"x{suffix}"
    output.write_text("what was there before")
    journal.append([row(0), row(1)])
    journal.rows = 3  # one that is not there: reading it fails in the middle of the writing
    with pytest.raises(ValueError, match="zero-length"):
        write_output(journal, output, DIMENSIONS)
    assert output.read_text() == "what was there before"
    assert [path.name for path in tmp_path.glob("*.tmp")] == []
