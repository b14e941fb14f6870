"""A tiny teacher, and texts of words that its tokenizer knows."""

import pytest

from models.encoder import Encoder
from models.fit.batches import Batches
from models.tokenizer import Tokenizer
from tests.models.attention.layers import randomise
from tests.models.conftest import tiny
from tests.models.small import random_texts, write_tokenizer


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    file = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    return Tokenizer(write_tokenizer(file), 64)


@pytest.fixture(scope="session")
def batches(tokenizer: Tokenizer) -> Batches:
    """Return batches of two lengths: torch compiles its bf16 kernels anew for every shape."""
    texts = [text for text in random_texts(2400, longest=12) if text.count(" ") in {3, 8}]
    return Batches(texts, tokenizer, 132, seed=1, held_out=66)


def teacher() -> Encoder:
    """Return an encoder that tells texts apart: as initialised, all vectors are nearly one."""
    encoder = tiny("multi-head")
    randomise(encoder, 0.1)
    return encoder


def student(attention: str = "causal") -> Encoder:
    """Return a variant on the teacher's parameters."""
    encoder = tiny(attention)
    encoder.load_state_dict(teacher().state_dict(), strict=False)
    return encoder
