"""Small encoders with a memory, and a set of documents for them to read."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from models.config import AttentionOptions
from models.evaluate.data import Query, RetrievalSet
from models.fit.context.__main__ import trained_parameters
from models.loading import WITHOUT, LoadedEncoder, load_encoder
from tests.models.small import random_texts, write_checkpoint

LoadSmall = Callable[[str], LoadedEncoder]

WINDOW = 12
OPTIONS = AttentionOptions(gate_logit=0.3, memory_from=1, memory_rank=2)


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a base of 2 layers with a short window: some chunks are two segments."""
    folder = write_checkpoint(tmp_path_factory.mktemp("base") / "tiny")
    (folder / "sentence_bert_config.json").write_text(f'{{"max_seq_length": {WINDOW}}}', "utf-8")
    return folder


@pytest.fixture
def load_small(checkpoint: Path) -> LoadSmall:
    """Return what loads a variant whose memory is away from where it begins, on an untouched base."""

    def load(variant: str) -> LoadedEncoder:
        model = load_encoder(variant, str(checkpoint), OPTIONS, WITHOUT)
        generator = torch.Generator().manual_seed(5)
        with torch.no_grad():
            for parameter in trained_parameters(model).values():
                parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
        return model

    return load


@pytest.fixture(scope="session")
def documents() -> RetrievalSet:
    """Return six documents of five chunks, up to 20 words each; every chunk but the first answers a query."""
    texts = random_texts(60, longest=20)
    chunks, questions = texts[:30], texts[30:]
    return RetrievalSet(
        "small",
        tuple(tuple(chunks[5 * i : 5 * i + 5]) for i in range(6)),
        tuple(Query(questions[g], g // 5, (g,)) for g in range(30) if g % 5),
    )
