"""A model whose first layers have no memory: what the inspector shows of them, and what a session keeps."""

from pathlib import Path

import numpy as np
import pytest

from models.config import DEFAULT_WEIGHTS, AttentionOptions
from models.loading import load_encoder
from models.weights import AdapterHeader, adapter_parameters, published_names, save_adapter
from service.config import ServiceConfig
from service.config_models import EngineConfig, ModelConfig
from service.encoder_node import EncoderNode
from service.ports import AttentionCommand
from tests.texts import SENTENCES

FIRST = 3


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write an untrained adapter of `infini` whose memory begins in the fourth layer."""
    file = tmp_path_factory.mktemp("adapter") / "later.safetensors"
    options = AttentionOptions(memory_from=FIRST, memory_rank=4)
    model = load_encoder("infini", DEFAULT_WEIGHTS, options, adapter="none")
    base = set(published_names(model.encoder.config.layers))
    own = {n: p for n, p in adapter_parameters(model.encoder).items() if n not in base}
    save_adapter(own, AdapterHeader("infini", model.base_sha256, "dot", FIRST, 4), file)
    return file


async def test_layers_without_a_memory_have_a_share_of_zero(adapter: Path, tmp_path: Path):
    config = ServiceConfig(data_dir=tmp_path, engine=EngineConfig(step_tokens=256))
    model = ModelConfig(id="later", attention="infini", adapter=str(adapter))
    node = await EncoderNode.start(model, config)
    try:
        fresh = await node.inspect(AttentionCommand("The bank of the river."))
        told = await node.inspect(AttentionCommand("The bank of the river.", " ".join(SENTENCES)))
    finally:
        await node.stop()
    assert fresh.memory_share is not None
    assert told.memory_share is not None
    assert not fresh.memory_share.any()
    shares = np.stack([layer.memory_share for layer in told.layers])  # type: ignore[misc] # it is there
    assert shares.shape == (6, 12, 8)
    assert not shares[:FIRST].any()
    assert ((shares[FIRST:] > 0) & (shares[FIRST:] < 1)).all()
    np.testing.assert_allclose(told.memory_share, shares.mean((0, 1)), atol=1e-6)
