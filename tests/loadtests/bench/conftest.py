"""A small corpus, and fake servers."""

import sys
from pathlib import Path

import pytest

from loadtests.bench.corpus import Corpus
from loadtests.bench.peers import Launch

WORDS = " ".join(f"w{number % 97}{'x' * (number % 5)}" for number in range(3000))


@pytest.fixture
def corpus() -> Corpus:
    """Words of one to three tokens."""
    return Corpus(WORDS, lambda words: [1 + len(word) % 3 for word in words])


def fake(name: str, salt: str = "") -> Launch:
    """Describe a fake server; another salt gives other vectors."""
    script = str(Path(__file__).parent / "fake_server.py")
    command = (sys.executable, script, "{port}", salt)
    return Launch(name, command, {"FAKE": "1"}, None, "/health", "/v1/embeddings", "any")
