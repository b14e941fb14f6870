"""A model's precision: shown, part of its fingerprint, and refused where the processor lacks it."""

from pathlib import Path

import pytest
import torch

from service.config import ServiceConfig
from service.config_models import EngineConfig, ModelConfig
from service.encoder_node import EncoderNode
from service.errors import Conflict, ModelLoadError
from service.ports import AppendCommand
from tests.models.test_inference import with_bf16
from tests.service.encoder_node.sessions import memory_of, open_session

BF16 = ModelConfig(id="m", attention="infini", precision="bf16")


@with_bf16
async def test_a_session_of_one_precision_is_not_carried_on_in_another(tmp_path: Path):
    config = ServiceConfig(data_dir=tmp_path, engine=EngineConfig(step_tokens=256))
    node = await EncoderNode.start(BF16, config)
    try:
        assert (await node.info()).precision == "bf16"
        session = await open_session(node, "The harbour was quiet.")
        memory = await memory_of(node, session)
        assert {part.dtype for part in memory.parts.values()} == {torch.float32}
    finally:
        await node.stop()
    node = await EncoderNode.start(BF16.model_copy(update={"precision": "fp32"}), config)
    try:
        assert (await node.info()).precision == "fp32"
        with pytest.raises(Conflict) as refused:
            await node.append(AppendCommand("public", session, ("Then it rained.",), 1))
    finally:
        await node.stop()
    assert refused.value.code == "model_changed"


async def test_bf16_on_a_processor_without_it_is_a_model_that_cannot_be_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict)
    with pytest.raises(ModelLoadError, match=r"model m: this cpu .* set the model's precision"):
        await EncoderNode.start(BF16, ServiceConfig(data_dir=tmp_path))
