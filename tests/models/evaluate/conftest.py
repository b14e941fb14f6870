"""Small encoders with a real tokenizer of letters, and the sets in tests/data/evaluate."""

from pathlib import Path

import pytest
import tokenizers

from models.evaluate import Plan, RetrievalSet, SentencePairs, Variant
from models.evaluate.bootstrap import Resampling
from models.evaluate.sources import find_pairs, find_sets
from models.tokenizer import Tokenizer
from tests.models.conftest import tiny

DATA = Path(__file__).parents[2] / "data" / "evaluate"
WINDOW = 40


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    """Every letter is a token; a segment has `WINDOW` tokens."""
    names = ["[CLS]", "[SEP]", "[UNK]", *"abcdefghijklmnopqrstuvwxyz"]
    vocabulary = {name: place for place, name in enumerate(names)}
    letters = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="[UNK]"))  # noqa: S106 - a token of text
    letters.pre_tokenizer = tokenizers.pre_tokenizers.Split(tokenizers.Regex("."), "isolated")
    file = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    letters.save(str(file))
    return Tokenizer(file, WINDOW)


@pytest.fixture
def variants(tokenizer: Tokenizer) -> list[Variant]:
    return [small("multi-head", tokenizer), small("infini", tokenizer)]


def small(attention: str, tokenizer: Tokenizer) -> Variant:
    return Variant(
        id=attention,
        attention=attention,
        base="tiny",
        fingerprint=f"of {attention}",
        encoder=tiny(attention),
        tokenizer=tokenizer,
    )


@pytest.fixture
def garden() -> RetrievalSet:
    [data] = find_sets(["garden"], DATA, "dev")
    return data


@pytest.fixture
def pairs() -> SentencePairs:
    found = find_pairs(None, DATA, "dev")
    assert found is not None
    return found


@pytest.fixture
def plan(garden: RetrievalSet, pairs: SentencePairs) -> Plan:
    return Plan((garden,), pairs, "multi-head", ("multi-head",), Resampling(0, 60), speed_rounds=2)
