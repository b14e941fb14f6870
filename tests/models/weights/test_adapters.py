"""Adapters: what was saved comes back, and whatever does not fit is named before anything changes."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from models.attention.scoring import SCORES
from models.config import ScoreName
from models.errors import WeightsError
from models.loading import load_encoder
from models.variants import variants
from models.weights import adapter_parameters, load_adapter, read_header
from models.weights.adapters import FORMAT
from tests.models.attention.layers import words
from tests.models.conftest import tiny
from tests.models.weights.conftest import write_adapter

GATES = {f"blocks.{i}.attention.gate_{kind}" for i in (0, 1) for kind in ("weight", "bias")}


def rewrite(file: Path, metadata: dict[str, str] | None = None, **changes: Tensor | None) -> None:
    """Change an adapter's header or tensors; None takes away."""
    tensors = {name: tensor.clone() for name, tensor in load_file(file).items()}
    for name, tensor in changes.items():
        if tensor is None:
            del tensors[name]
        else:
            tensors[name] = tensor
    header = read_header(file)
    kept = {
        "format": FORMAT,
        "attention": header.attention,
        "base": header.base,
        "score": header.score,
    }
    merged = kept | (metadata or {})
    save_file(tensors, file, {name: value for name, value in merged.items() if value})


@pytest.fixture
def adapter(base: Path, tmp_path: Path) -> Path:
    """Return the file of a bidirectional adapter that fits the base."""
    file = tmp_path / "trained.safetensors"
    write_adapter(base, file)
    return file


@pytest.mark.parametrize("attention", variants())
def test_what_was_saved_comes_back_in_half_precision(base: Path, tmp_path: Path, attention: str):
    file = tmp_path / "trained.safetensors"
    full = write_adapter(base, file, attention).encoder.state_dict()
    loaded = load_encoder(attention, str(base), adapter=str(file)).encoder
    assert {tensor.dtype for tensor in load_file(file).values()} == {torch.float16}
    adapted = adapter_parameters(loaded)
    for name, tensor in loaded.state_dict().items():
        assert tensor.dtype == torch.float32
        expected = full[name].half().float() if name in adapted else full[name]
        assert torch.equal(tensor, expected)
    assert set(adapted) == set(load_file(file))
    assert not any(parameter.requires_grad for parameter in loaded.parameters())


@pytest.mark.parametrize("score", SCORES)
def test_the_score_function_is_the_adapters(base: Path, tmp_path: Path, score: ScoreName):
    file = tmp_path / "trained.safetensors"
    full = write_adapter(base, file, "causal", score)
    loaded = load_encoder("causal", str(base), adapter=str(file))
    assert read_header(file).score == score
    for block in loaded.encoder.layers:
        assert isinstance(block.get_submodule("attention.score"), SCORES[score])
    one, other = (x.encoder([words(9, 1)]).tokens for x in (loaded, full))
    torch.testing.assert_close(one, other, atol=2e-2, rtol=0)


def test_an_adapter_holds_attention_and_the_norm_after_it():
    for attention in variants():
        encoder = tiny(attention)
        held = set(adapter_parameters(encoder))
        others = set(encoder.state_dict()) - held
        of_blocks = {name.split(".")[2] for name in held if name.startswith("blocks")}
        assert of_blocks == {"attention", "attention_norm"}
        of_encoder = {"blocks", "reader"} if encoder.reader else {"blocks"}
        assert {name.split(".")[0] for name in held} == of_encoder
        kept = {name.split(".")[2] for name in others if name.startswith("blocks")}
        assert kept == {"up", "down", "feed_forward_norm"}


def mapped(file: Path) -> list[range]:
    """Return the addresses at which this process sees a file."""
    found = []
    for line in Path("/proc/self/maps").read_text("utf-8").splitlines():
        if line.endswith(str(file)):
            start, _, end = line.split()[0].partition("-")
            found.append(range(int(start, 16), int(end, 16)))
    return found


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="asks Linux what is mapped")
def test_the_base_stays_in_the_mapped_file_and_the_adapter_does_not(base: Path, adapter: Path):
    loaded = load_encoder("bidirectional", str(base), adapter=str(adapter)).encoder
    adapted = adapter_parameters(loaded)
    of_base, of_adapter = mapped(base / "model.safetensors"), mapped(adapter)
    assert of_base
    for name, tensor in loaded.state_dict().items():
        address = tensor.data_ptr()
        assert any(address in addresses for addresses in of_base) == (name not in adapted)
        assert not any(address in addresses for addresses in of_adapter)


def test_an_adapter_may_leave_the_bases_parameters_alone_but_not_its_own(base: Path, adapter: Path):
    names = set(load_file(adapter))
    rewrite(adapter, None, **dict.fromkeys(names - GATES))
    loaded = load_encoder("bidirectional", str(base), adapter=str(adapter)).encoder.state_dict()
    published = load_encoder("multi-head", str(base), adapter="none").encoder.state_dict()
    assert all(torch.equal(tensor, loaded[name]) for name, tensor in published.items())
    assert all(loaded[name].abs().max() > 0 for name in GATES)
    rewrite(adapter, None, **{"blocks.1.attention.gate_bias": None})
    with pytest.raises(
        WeightsError, match=r"trained\.safetensors: missing blocks\.1\.attention\.gate_bias$"
    ):
        load_encoder("bidirectional", str(base), adapter=str(adapter))


def test_every_misfit_is_named_and_nothing_is_loaded_by_half(base: Path, adapter: Path):
    rewrite(
        adapter,
        None,
        **{
            "blocks.0.attention.gate_weight": None,
            "blocks.0.attention.query.bias": torch.zeros(7),
            "blocks.1.up.weight": torch.zeros(48, 24),
            "blocks.9.attention.query.bias": torch.zeros(24),
            "surplus": torch.zeros(1),
        },
    )
    encoder = load_encoder("bidirectional", str(base), adapter="none").encoder
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    with pytest.raises(WeightsError) as caught:
        load_adapter(encoder, adapter, GATES)
    file, _, problems = str(caught.value).partition(": ")
    assert file == "trained.safetensors"
    assert problems.split("; ") == [
        "missing blocks.0.attention.gate_weight",
        "blocks.0.attention.query.bias is [7], should be [24]",
        "unexpected blocks.1.up.weight",
        "unexpected blocks.9.attention.query.bias",
        "unexpected surplus",
    ]
    assert all(torch.equal(before[name], now) for name, now in encoder.state_dict().items())


def test_an_adapter_for_another_variant_is_refused(base: Path, adapter: Path):
    with pytest.raises(
        WeightsError, match=r"trained\.safetensors is for bidirectional, not for causal"
    ):
        load_encoder("causal", str(base), adapter=str(adapter))


def test_an_adapter_trained_on_another_base_is_refused(base: Path, adapter: Path):
    file = base / "model.safetensors"
    tensors = {name: tensor.clone() for name, tensor in load_file(file).items()}
    tensors["embeddings.LayerNorm.bias"][0] += 1e-6
    save_file(tensors, file)
    with pytest.raises(WeightsError, match=r"trained\.safetensors was trained on another base"):
        load_encoder("bidirectional", str(base), adapter=str(adapter))
    load_encoder("bidirectional", str(base), adapter="none")


@pytest.mark.parametrize(
    ("metadata", "complaint"),
    [
        ({"format": "longstream-adapter-0"}, "not a longstream adapter of this version"),
        ({"format": ""}, "not a longstream adapter of this version"),
        ({"score": "polynomial"}, "not a longstream adapter of this version"),
        ({"score": ""}, "not a longstream adapter of this version"),
        ({"attention": ""}, "does not say its attention"),
        ({"base": ""}, "does not say its base"),
        ({"memory_from": "-1"}, "'-1' is not a number of layers or a rank"),
        ({"memory_from": "1.5"}, "'1.5' is not a number of layers or a rank"),
        ({"memory_rank": "many"}, "'many' is not a number of layers or a rank"),
        ({"memory_rank": "9" * 5000}, "is not a number of layers or a rank"),
        ({"memory_rank": "²"}, "is not a number of layers or a rank"),
    ],
)
def test_a_header_that_says_too_little_is_refused(adapter: Path, metadata, complaint):
    rewrite(adapter, metadata)
    with pytest.raises(WeightsError, match=rf"trained\.safetensors.* {complaint}"):
        read_header(adapter)


@pytest.mark.parametrize("content", [b"", b"garbage", b"\xff" * 64, None])
def test_what_is_no_safetensors_file_is_refused(base: Path, adapter: Path, content: bytes | None):
    adapter.write_bytes(adapter.read_bytes()[:-10] if content is None else content)
    with pytest.raises(WeightsError, match=r"cannot read adapter trained\.safetensors"):
        load_encoder("bidirectional", str(base), adapter=str(adapter))


def test_a_safetensors_file_of_another_kind_is_no_adapter(base: Path):
    with pytest.raises(WeightsError, match=r"model\.safetensors is not a longstream adapter"):
        load_encoder("bidirectional", str(base), adapter=str(base / "model.safetensors"))


def test_an_adapter_that_is_replaced_is_the_new_one(base: Path, adapter: Path):
    rewrite(adapter, None, **{"blocks.0.attention.gate_bias": torch.full((3, 8), 0.25)})
    write_adapter(base, adapter)
    assert not (load_file(adapter)["blocks.0.attention.gate_bias"] == 0.25).all()
