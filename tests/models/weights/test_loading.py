"""Strict loading: whatever does not fit is named, and nothing is loaded by half."""

import json
import shutil
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from models.config import AttentionOptions, EncoderConfig
from models.errors import WeightsError
from models.loading import check_model, load_encoder
from models.weights import locate
from models.weights.bert import UNUSED, published_names
from tests.models.conftest import WEIGHTS, tiny


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """Return a tiny published checkpoint that loads."""
    source, target = locate(WEIGHTS), tmp_path / "tiny"
    (target / "1_Pooling").mkdir(parents=True)
    for name in ("tokenizer.json", "1_Pooling/config.json"):
        shutil.copy(source.file(name), target / name)
    config = json.loads(source.file("config.json").read_text("utf-8"))
    config |= {
        "hidden_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 3,
        "intermediate_size": 48,
        "vocab_size": 50,
        "max_position_embeddings": 128,
    }
    (target / "config.json").write_text(json.dumps(config), "utf-8")
    (target / "sentence_bert_config.json").write_text('{"max_seq_length": 128}', "utf-8")
    state = tiny("multi-head").state_dict()
    tensors = {theirs: state[ours] for ours, theirs in published_names(2).items()}
    save_file(tensors, target / "model.safetensors")
    return target


def edit(checkpoint: Path, **changes: torch.Tensor | None) -> None:
    file = checkpoint / "model.safetensors"
    tensors = {name: tensor.clone() for name, tensor in load_file(file).items()}
    for name, tensor in changes.items():
        if tensor is None:
            del tensors[name]
        else:
            tensors[name] = tensor
    save_file(tensors, file)


def test_a_directory_loads_and_gives_back_what_was_saved(checkpoint: Path):
    loaded = load_encoder("multi-head", str(checkpoint))
    expected = tiny("multi-head").state_dict()
    assert loaded.encoder.state_dict().keys() == expected.keys()
    assert all(torch.equal(t, expected[n]) for n, t in loaded.encoder.state_dict().items())
    assert not any(p.requires_grad for p in loaded.encoder.parameters())


def test_every_misfit_is_named(checkpoint: Path):
    edit(
        checkpoint,
        **{
            "encoder.layer.0.intermediate.dense.bias": None,
            "encoder.layer.7.surplus": torch.zeros(1),
            "encoder.layer.1.output.dense.weight": torch.zeros(3, 5),
            "embeddings.LayerNorm.bias": torch.zeros(24, dtype=torch.float16),
        },
    )
    with pytest.raises(WeightsError) as caught:
        load_encoder("multi-head", str(checkpoint))
    message = str(caught.value)
    assert "missing encoder.layer.0.intermediate.dense.bias" in message
    assert "unexpected encoder.layer.7.surplus" in message
    assert (
        "encoder.layer.1.output.dense.weight is float32[3, 5], should be float32[24, 48]" in message
    )
    assert "embeddings.LayerNorm.bias is float16[24], should be float32[24]" in message


def test_tensors_that_mean_pooling_never_reads_are_tolerated(checkpoint: Path):
    edit(checkpoint, **{name: torch.zeros(2) for name in UNUSED})
    load_encoder("multi-head", str(checkpoint))


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("config.json", None, "no config.json"),
        ("config.json", "{", "not JSON"),
        ("config.json", "[]", "not a JSON object"),
        ("tokenizer.json", "{}", "cannot read tokenizer.json"),
        ("model.safetensors", "garbage", "cannot read model.safetensors"),
        ("1_Pooling/config.json", '{"pooling_mode_cls_token": true}', "only mean pooling"),
    ],
)
def test_a_broken_file_is_one_typed_error(checkpoint: Path, name, content, complaint):
    if content is None:
        (checkpoint / name).unlink()
    else:
        (checkpoint / name).write_text(content, "utf-8")
    with pytest.raises(WeightsError, match=complaint):
        load_encoder("multi-head", str(checkpoint))


def test_an_unknown_variant_or_configuration_is_refused(checkpoint: Path):
    with pytest.raises(
        WeightsError,
        match="unknown attention 'sparse'; known: self-attention, causal, bidirectional",
    ):
        load_encoder("sparse", str(checkpoint))
    published = json.loads((checkpoint / "config.json").read_text("utf-8"))
    with pytest.raises(WeightsError, match=r"unsupported .*hidden_act='relu'.*unknown \['novel'\]"):
        EncoderConfig.from_published(published | {"hidden_act": "relu", "novel": 1}, 128)


def test_fingerprints_tell_models_apart_and_same_models_together(checkpoint: Path):
    load = partial(load_encoder, weights=str(checkpoint), adapter="none")
    first = load("infini").fingerprint
    assert load("infini").fingerprint == first
    delta = AttentionOptions(memory_rule="delta")
    others = {load("multi-head").fingerprint, load("infini", options=delta).fingerprint}
    weight = load_file(checkpoint / "model.safetensors")["embeddings.LayerNorm.bias"].clone()
    weight[0] += 1e-6
    edit(checkpoint, **{"embeddings.LayerNorm.bias": weight})
    others.add(load("infini").fingerprint)
    assert len(others | {first}) == 4


def test_a_model_is_checked_without_being_loaded(checkpoint: Path):
    check_model("infini", str(checkpoint))
    check_model(
        "infini", "hub:sentence-transformers/all-MiniLM-L6-v2@main"
    )  # allowed, and not fetched
    for attention, weights, complaint in (
        ("sparse", str(checkpoint), "unknown attention"),
        ("infini", "hub:evil/model", "not allowed"),
        ("infini", "./nowhere", "no such directory"),
    ):
        with pytest.raises(WeightsError, match=complaint):
            check_model(attention, weights)
    (checkpoint / "model.safetensors").unlink()
    with pytest.raises(WeightsError, match=r"no model\.safetensors"):
        check_model("infini", str(checkpoint))
