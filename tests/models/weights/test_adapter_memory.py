"""An adapter says where its memory begins and what rank it adds; the encoder is built by that."""

from pathlib import Path

import pytest
import torch

from models.config import AttentionOptions
from models.errors import WeightsError
from models.loading import load_encoder
from models.weights import AdapterHeader, adapter_parameters, read_header, save_adapter
from tests.models.weights.conftest import write_adapter
from tests.models.weights.test_adapters import rewrite


def test_where_a_memory_begins_and_its_rank_are_the_adapters(base: Path, tmp_path: Path):
    file = tmp_path / "trained.safetensors"
    options = AttentionOptions(memory_from=1, memory_rank=2)
    encoder = load_encoder("infini", str(base), options, adapter="none").encoder
    base_sha256 = load_encoder("infini", str(base), adapter="none").base_sha256
    save_adapter(
        adapter_parameters(encoder), AdapterHeader("infini", base_sha256, "dot", 1, 2), file
    )
    assert read_header(file) == AdapterHeader("infini", base_sha256, "dot", 1, 2)
    for asked in (None, AttentionOptions(memory_from=0, memory_rank=4)):
        loaded = load_encoder("infini", str(base), asked, adapter=str(file)).encoder
        assert loaded.empty_memory().shapes == encoder.empty_memory().shapes
        assert loaded.state_dict().keys() == encoder.state_dict().keys()
        name = "blocks.1.attention.memory_side.key.down.weight"
        assert torch.equal(loaded.state_dict()[name], encoder.state_dict()[name].half().float())


def test_an_adapter_that_is_silent_on_its_memory_has_one_in_every_layer(base: Path, tmp_path: Path):
    """Files from before a memory could begin later."""
    file = tmp_path / "trained.safetensors"
    write_adapter(base, file, "infini")
    rewrite(file)  # writes the first four fields alone
    header = read_header(file)
    assert (header.memory_from, header.memory_rank) == (0, 0)
    later = AttentionOptions(memory_from=1, memory_rank=2)
    loaded = load_encoder("infini", str(base), later, adapter=str(file)).encoder
    assert all(block.attention.has_memory for block in loaded.layers)


@pytest.mark.parametrize("changes", [{"memory_from": "2"}, {"memory_rank": "25"}])
def test_a_header_that_the_base_does_not_allow_is_refused(base: Path, tmp_path: Path, changes):
    file = tmp_path / "trained.safetensors"
    write_adapter(base, file, "infini")
    rewrite(file, changes)
    with pytest.raises(WeightsError, match=next(iter(changes))):
        load_encoder("infini", str(base), adapter=str(file))
