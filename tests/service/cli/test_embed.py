import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import numpy as np
import pytest
from pyarrow import parquet

from models.chunking import split_text
from service.cli.embed import _SUFFIXES
from service.cli.embedding.formats import WRITERS
from tests.service.cli.embedding.kit import BOOK as TEXT
from tests.service.cli.embedding.kit import invoke, write_book
from tests.service.cli.serving import served
from tests.service.client.fake import FakeService, problem
from tests.service.client.vectors import vector_of

CHUNKS = list(split_text(TEXT, 100))
VECTORS = np.array([vector_of(*CHUNKS[: n + 1]) for n in range(len(CHUNKS))])
# A test run that was started in the background hands down an ignored SIGINT; a terminal does not.
PROGRAM = """
import signal
import typer
from service.cli.embed import embed
signal.signal(signal.SIGINT, signal.default_int_handler)
typer.run(embed)
"""
ROOT = Path(__file__).parents[3]


@pytest.fixture
def book(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return write_book()


def test_each_format_holds_the_vectors(book):
    with served(FakeService()) as url:
        for suffix in (".npy", ".parquet", ".jsonl"):
            result = invoke(book, "-o", f"out{suffix}", "--chunk-chars", 100, "--url", url)
            assert result.exit_code == 0, result.stderr
    assert np.array_equal(np.load("out.npy"), VECTORS)
    table = parquet.read_table("out.parquet").to_pylist()
    assert np.array_equal(np.array([row["embedding"] for row in table], np.float32), VECTORS)
    lines = [json.loads(line) for line in Path("out.jsonl").read_text().splitlines()]
    assert np.array_equal(np.array([row["embedding"] for row in lines], np.float32), VECTORS)
    for row in lines:
        row["embedding"] = np.array(row["embedding"], np.float32).tolist()
    assert lines == table
    assert [row["text"] for row in lines] == CHUNKS


def test_the_suffixes_that_are_offered_are_those_that_can_be_written():
    assert sorted(_SUFFIXES) == sorted(WRITERS)


def test_the_default_output_lies_here_and_the_end_is_told(book):
    with served(FakeService()) as url:
        result = invoke(book, "--url", url)
    assert result.exit_code == 0
    assert Path("book.txt.jsonl").exists()
    assert result.stdout == ""
    assert result.stderr.startswith("longstream: book.txt.jsonl: 15 chunks, 2,800 tokens; session ")
    assert result.stderr.endswith("is kept\n")


def test_standard_input(book):
    service = FakeService()
    with served(service) as url:
        result = invoke("-", "--chunk-chars", 100, "--delete", "--url", url, text=TEXT)
    assert result.exit_code == 0, result.stderr
    lines = [json.loads(line) for line in Path("stdin.jsonl").read_text().splitlines()]
    assert np.array_equal(np.array([row["embedding"] for row in lines], np.float32), VECTORS)
    assert [session.status for session in service.sessions.values()] == ["deleted"]


def test_a_closed_standard_input_is_a_usage_error(book):
    command = [sys.executable, "-c", PROGRAM, "-"]
    result = subprocess.run(
        ["/bin/sh", "-c", 'exec "$@" <&-', "sh", *command],
        check=False,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 2
    assert "standard input is closed" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_refusal_says_why(book):
    service = FakeService(faults=[lambda _request: problem(404, "model_not_found")])
    with served(service) as url:
        result = invoke(book, "--model", "other", "--url", url)
    assert result.exit_code == 1
    assert "model_not_found" in result.stderr
    assert "again" not in result.stderr
    assert not Path("book.txt.jsonl.part").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.txt"], "cannot read missing.txt: No such file or directory"),
        (["texts"], "texts is no regular file"),
    ],
)
def test_files_that_are_not_there_are_named(book, arguments, message):
    result = invoke(*arguments)
    assert result.exit_code == 1
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


def test_wrong_bytes_are_named_by_their_offset(book):
    book.write_bytes(b"good \xff")
    with served(FakeService()) as url:
        result = invoke(book, "--url", url)
    assert result.exit_code == 1
    assert "texts/book.txt is not UTF-8: invalid start byte at byte 5" in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["texts/book.txt", "-o", "out.csv"],
        ["texts/book.jsonl", "-o", "texts/book.jsonl"],
        ["texts/book.txt", "--chunk-chars", "0"],
        ["texts/book.txt", "--batch", "1000"],
        ["texts/book.txt", "-o", "nowhere/out.npy"],
        ["texts/book.txt", "-o", "folder.npy"],
        ["texts/out.npy.part", "-o", "texts/out.npy"],
        ["texts/out.npy.tmp", "-o", "texts/../texts/out.npy"],
        ["texts/folder"],
    ],
)
def test_options_that_cannot_be_meant_are_usage_errors(book, arguments):
    Path("folder.npy").mkdir()
    Path("folder.jsonl").mkdir()
    before = sorted(Path.cwd().rglob("*"))
    assert invoke(*arguments).exit_code == 2
    assert sorted(Path.cwd().rglob("*")) == before


def started(book: Path, url: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", PROGRAM, str(book), "--chunk-chars", "100", "--url", url]
    return subprocess.Popen(
        [*command, "-o", "out.npy"],
        stderr=subprocess.PIPE,
        text=True,
        env={"PYTHONPATH": str(ROOT)},
    )


def slowed(service: FakeService) -> None:
    def slow(_request: httpx.Request) -> None:
        time.sleep(0.05)

    service.faults = [slow] * 10_000


def await_rows(part: Path, count: int, seconds: float = 60) -> None:
    give_up = time.monotonic() + seconds
    while not part.exists() or part.read_bytes().count(b"\n") <= count:
        assert time.monotonic() < give_up, "no rows were written"
        time.sleep(0.02)


@pytest.mark.parametrize("blow", [signal.SIGINT, signal.SIGKILL])
def test_a_process_that_is_stopped_is_resumed_by_the_same_command(book, blow):
    service = FakeService()
    slowed(service)
    part = Path("out.npy.part")
    with served(service) as url:
        process = started(book, url)
        await_rows(part, 24)
        process.send_signal(blow)
        _, stderr = process.communicate(timeout=60)
        if blow == signal.SIGINT:
            assert process.returncode == 130
            assert stderr.splitlines() == [
                f"longstream: stopped; run the same command again to go on from {part}"
            ]
        else:
            assert process.returncode == -signal.SIGKILL
        assert part.exists()
        assert not Path("out.npy").exists()
        service.faults = []
        result = invoke(book, "--chunk-chars", 100, "--url", url, "-o", "out.npy")
    assert result.exit_code == 0, result.stderr
    assert np.array_equal(np.load("out.npy"), VECTORS)
    assert not part.exists()
    (session,) = service.sessions.values()
    assert session.texts == CHUNKS


def test_help_does_not_wait_for_heavy_libraries():
    check = (
        "import sys; import service.cli.embed; "
        "print([name for name in ('torch', 'numpy', 'pyarrow', 'httpx', 'rich.progress') "
        "if name in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", check], cwd=ROOT, check=True, capture_output=True, text=True
    )
    assert result.stdout == "[]\n"


def test_the_client_needs_neither_torch_nor_the_server():
    check = (
        "import sys; import service.client; "
        "print([name for name in ('torch', 'fastapi', 'ray', 'pydantic') if name in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", check], cwd=ROOT, check=True, capture_output=True, text=True
    )
    assert result.stdout == "[]\n"


def test_the_help_names_the_defaults_that_are_worked_out(monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    text = invoke("--help").stdout
    for default in (
        "15 until it has answered, then 300",
        "derived from the job",
        "FILE.jsonl, here",
    ):
        assert f"[default: ({default})]" in text
