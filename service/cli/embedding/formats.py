"""Output formats: what a journal becomes, in constant memory and all at once.

Parquet and JSON lines have the columns seq, text, embedding, tokens, token_start, token_end; NPY has the
vectors alone, float32, (chunks, dimensions).
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
import orjson
import pyarrow as pa
from numpy.lib.format import open_memmap
from pyarrow import parquet

from service.cli.embedding.journal import Journal, Row

_ROW_GROUP: Final = 1024

Writer: TypeAlias = Callable[[Path, Iterator[Row], tuple[int, int]], None]
"""Writes rows to a new file; the pair is the shape of the matrix they make, (chunks, dimensions)."""


def write_output(journal: Journal, output: Path, dimensions: int) -> None:
    """Turn a complete journal into the output, which appears whole or not at all.

    Raises:
        OSError: the file system refuses.
    """
    draft = output.with_name(f"{output.name}.tmp")
    try:
        WRITERS[output.suffix](draft, journal.read(), (journal.rows, dimensions))
        with draft.open("rb") as written:
            os.fsync(written.fileno())
        draft.replace(output)
    finally:
        draft.unlink(missing_ok=True)


def write_jsonl(path: Path, rows: Iterator[Row], _shape: tuple[int, int]) -> None:
    """Write a JSON object per line; numbers are the shortest that give the same float32."""
    with path.open("wb") as stream:
        for row in rows:
            stream.write(orjson.dumps(asdict(row), option=orjson.OPT_SERIALIZE_NUMPY) + b"\n")


def write_npy(path: Path, rows: Iterator[Row], shape: tuple[int, int]) -> None:
    """Write the matrix of the vectors."""
    if 0 in shape:
        # Nothing cannot be mapped into memory.
        with path.open("wb") as stream:
            np.save(stream, np.empty(shape, np.float32))
        return
    matrix = open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
    for row in rows:
        matrix[row.seq] = row.embedding
    matrix.flush()


def write_parquet(path: Path, rows: Iterator[Row], shape: tuple[int, int]) -> None:
    """Write a table, a row group at a time."""
    dimensions = shape[1]
    schema = pa.schema(
        {
            "seq": pa.int64(),
            "text": pa.string(),
            "embedding": pa.list_(pa.float32(), dimensions),
            "tokens": pa.int64(),
            "token_start": pa.int64(),
            "token_end": pa.int64(),
        }
    )
    with parquet.ParquetWriter(path, schema) as writer:
        while group := list(islice(rows, _ROW_GROUP)):
            flat = pa.array(np.concatenate([row.embedding for row in group]))
            columns = {
                name: pa.FixedSizeListArray.from_arrays(flat, dimensions)
                if name == "embedding"
                else [getattr(row, name) for row in group]
                for name in schema.names
            }
            writer.write_table(pa.table(columns, schema=schema))


WRITERS: Final[dict[str, Writer]] = {
    ".jsonl": write_jsonl,
    ".npy": write_npy,
    ".parquet": write_parquet,
}
"""Writers by the suffix of the output."""
