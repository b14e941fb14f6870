"""A trained adapter without the training: a variant whose attention was moved away from the base."""

from pathlib import Path

import pytest

from models.config import AttentionOptions, ScoreName
from models.loading import LoadedEncoder, load_encoder
from models.weights import AdapterHeader, adapter_parameters, save_adapter
from tests.models.attention.layers import randomise
from tests.models.small import write_checkpoint


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return write_checkpoint(tmp_path / "tiny")


def trained(base: Path, attention: str, score: ScoreName = "dot") -> LoadedEncoder:
    """Load a variant on a base and move all that an adapter may hold."""
    loaded = load_encoder(attention, str(base), AttentionOptions(score=score), adapter="none")
    # Assigned tensors are views of the file: a copy of them is moved, not the base.
    state = {name: tensor.clone() for name, tensor in loaded.encoder.state_dict().items()}
    loaded.encoder.load_state_dict(state, assign=True)
    for block in loaded.encoder.layers:
        assert block.attention is not None
        randomise(block.get_submodule("attention"), 0.1)
        randomise(block.attention_norm, 0.1)
    return loaded


def write_adapter(
    base: Path, file: Path, attention: str = "bidirectional", score: ScoreName = "dot"
) -> LoadedEncoder:
    """Write a moved variant's adapter; return the variant as it was in full precision."""
    loaded = trained(base, attention, score)
    header = AdapterHeader(attention, loaded.base_sha256, score)
    save_adapter(adapter_parameters(loaded.encoder), header, file)
    return loaded
