import pytest

from service.cli.embedding.job import Job
from tests.service.cli.embedding.kit import TEXT
from tests.service.client.fake import FakeService


@pytest.fixture
def service() -> FakeService:
    return FakeService()


@pytest.fixture
def job(tmp_path) -> Job:
    source = tmp_path / "book.txt"
    source.write_text(TEXT)
    return Job(source, tmp_path / "out.jsonl", "infini", chunk_chars=100, batch=3)
