from pathlib import Path

import pytest

from service.cli.embedding.job import Job
from tests.service.cli.embedding.kit import TEXT, write_book
from tests.service.client.fake import FakeService


@pytest.fixture
def service() -> FakeService:
    return FakeService()


@pytest.fixture
def job(tmp_path) -> Job:
    source = tmp_path / "book.txt"
    source.write_text(TEXT)
    return Job(source, tmp_path / "out.jsonl", "infini", chunk_chars=100, batch=3)


@pytest.fixture
def book(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return write_book()
