import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import numpy as np
import pytest
import typer
from pyarrow import parquet
from typer.testing import CliRunner

from models.chunking import split_text
from service.cli.embed import _SUFFIXES, embed
from service.cli.embedding.formats import WRITERS
from tests.service.cli.serving import served
from tests.service.client.fake import FakeService, problem
from tests.service.client.vectors import vector_of

TEXT = "".join(f"Sentence number {n} of a short book. " for n in range(400))
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


def invoke(*arguments: object, text: str | None = None):
    app = typer.Typer()
    app.command()(embed)
    return CliRunner().invoke(app, [str(argument) for argument in arguments], input=text)


@pytest.fixture
def book(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("texts").mkdir()
    path = Path("texts/book.txt")
    path.write_text(TEXT)
    return path


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


def test_a_conflict_is_one_line_and_exit_code_1(book):
    service = FakeService()
    with served(service) as url:
        assert invoke(book, "--session", "mine", "--url", url).exit_code == 0
        Path("other.txt").write_text("Another text.")
        result = invoke("other.txt", "--session", "mine", "--url", url)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert "session mine has read another text than other.txt" in result.stderr


def test_a_service_that_is_not_there_is_one_line_with_its_address(book):
    url = "http://127.0.0.1:9"
    result = invoke(book, "--retry-for", 0, "--url", url)
    assert result.exit_code == 1
    assert result.stderr.startswith(f"longstream: {url}: ")
    assert "run the same command again to go on" in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_refusal_says_why(book):
    service = FakeService(faults=[lambda _request: problem(404, "model_not_found")])
    with served(service) as url:
        result = invoke(book, "--model", "other", "--url", url)
    assert result.exit_code == 1
    assert "model_not_found" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.txt"], "cannot read missing.txt: No such file or directory"),
        (["texts"], "texts is no regular file"),
        (["texts/book.txt", "-o", "nowhere/out.npy"], "nowhere/out.npy.part: No such file"),
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
    ],
)
def test_options_that_cannot_be_meant_are_usage_errors(book, arguments):
    assert invoke(*arguments).exit_code == 2


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
                f"longstream: stopped: run the same command again to go on from {part}"
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
