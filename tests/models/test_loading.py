"""From names to an encoder: which adapter and which figures belong to it, and what tells models apart."""

from pathlib import Path
from typing import Any

import pytest
import torch

from models.checkpoints import packaged as find_packaged
from models.config import AttentionOptions
from models.encoder import EncoderOutput
from models.errors import WeightsError
from models.loading import LoadedEncoder, check_model, load_encoder
from models.variants import variants
from models.weights import AdapterHeader, adapter_parameters, save_adapter
from tests.models.attention.layers import words
from tests.models.conftest import WEIGHTS
from tests.models.small import write_checkpoint
from tests.models.weights.conftest import write_adapter

CARD = "---\nbase_sha256: {base}\nevaluation: {{ndcg: 0.5}}\n---\n# Bidirectional attention\n"


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return write_checkpoint(tmp_path / "tiny")


@pytest.fixture
def packaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder that stands for the packaged checkpoints; it begins empty."""
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    monkeypatch.setattr("models.checkpoints.FOLDER", folder)
    return folder


def vectors(loaded: LoadedEncoder) -> torch.Tensor:
    with torch.inference_mode():
        output: EncoderOutput = loaded.encoder([words(9, 1)])
    return output.tokens


def test_a_variant_without_a_packaged_adapter_is_the_untrained_one(base: Path, packaged: Path):
    assert list(packaged.iterdir()) == []
    without = load_encoder("bidirectional", str(base), adapter="none")
    assert (without.adapter, without.adapter_bytes, without.evaluation) == (None, 0, {})
    default = load_encoder("bidirectional", str(base))
    assert default.fingerprint == without.fingerprint
    assert default.adapter is None


def test_the_packaged_adapter_is_taken_unless_another_or_none_is_asked_for(
    base: Path, packaged: Path, tmp_path: Path
):
    file = packaged / "bidirectional.safetensors"
    write_adapter(base, file)
    other = tmp_path / "own.safetensors"
    other.write_bytes(file.read_bytes())
    (packaged / "bidirectional.md").write_text("no card", "utf-8")
    none = load_encoder("bidirectional", str(base), adapter="none")
    own = load_encoder("bidirectional", str(base), adapter=str(other))
    assert (own.adapter, own.adapter_bytes) == ("own.safetensors", other.stat().st_size)
    assert own.evaluation == {}  # the packaged card, broken here, is not of this file
    (packaged / "bidirectional.md").unlink()
    default = load_encoder("bidirectional", str(base))
    assert default.adapter == "bidirectional.safetensors"
    assert default.adapter_bytes == file.stat().st_size
    assert torch.equal(vectors(default), vectors(own))
    assert (vectors(default) - vectors(none)).abs().max() > 1e-2


def test_fingerprints_follow_the_adapters_tensors_and_not_its_name(base: Path, tmp_path: Path):
    first, second = tmp_path / "one.safetensors", tmp_path / "two.safetensors"
    write_adapter(base, first)
    second.write_bytes(first.read_bytes())
    one, two, none = (
        load_encoder("bidirectional", str(base), adapter=str(adapter))
        for adapter in (first, second, "none")
    )
    assert one.fingerprint == two.fingerprint
    assert one.fingerprint != none.fingerprint
    assert one.base_sha256 == two.base_sha256 == none.base_sha256


def test_the_base_has_one_fingerprint_under_all_variants(base: Path):
    loaded = [load_encoder(name, str(base), adapter="none") for name in variants()]
    assert len({encoder.base_sha256 for encoder in loaded}) == 1
    assert len({encoder.fingerprint for encoder in loaded}) == len(variants())


@pytest.mark.parametrize(
    ("name", "idle", "live"),
    [
        ("causal", {"gate_logit": 1.0, "memory_from": 9}, ()),
        ("infini-plus", {}, ({"gate_logit": 1.0}, {"memory_from": 1})),
    ],
)
def test_score_functions_tell_models_apart_and_idle_options_do_not(
    base: Path, name: str, idle: dict[str, Any], live: tuple[dict[str, Any], ...]
):
    def of(**options: Any) -> str:
        return load_encoder(
            name, str(base), AttentionOptions(**options), adapter="none"
        ).fingerprint

    plain = of()
    assert of(memory_rule="delta", memory_rank=4, **idle) == plain
    apart = [of(**options) for options in ({"score": "cosine"}, *live)]
    assert len({plain, *apart}) == 1 + len(apart)


def test_an_adapter_of_infini_plus_without_gates_is_refused(base: Path, tmp_path: Path):
    file = tmp_path / "reader.safetensors"
    model = load_encoder("infini-plus", str(base), adapter="none")
    reader = {
        name: parameter
        for name, parameter in adapter_parameters(model.encoder).items()
        if name.startswith("reader.")
    }
    save_adapter(reader, AdapterHeader("infini-plus", model.base_sha256, "dot"), file)
    missing = "; ".join(f"missing blocks.{i}.attention.beta" for i in range(2))
    with pytest.raises(WeightsError, match=f"reader.safetensors: {missing}$"):
        load_encoder("infini-plus", str(base), adapter=str(file))


@pytest.mark.parametrize("adapter", ["./nowhere.safetensors", ""])
def test_an_adapter_that_is_not_there_is_refused(base: Path, adapter: str):
    with pytest.raises(WeightsError, match=f"no adapter {adapter}: give a file, `packaged` or"):
        load_encoder("causal", str(base), adapter=adapter)
    with pytest.raises(WeightsError, match=f"no adapter {adapter}: give a file, `packaged` or"):
        check_model("causal", str(base), adapter)


def test_a_card_is_believed_for_its_own_base_only(base: Path, packaged: Path):
    card = packaged / "bidirectional.md"
    sha256 = load_encoder("bidirectional", str(base)).base_sha256
    card.write_text(CARD.format(base=sha256), "utf-8")
    assert load_encoder("bidirectional", str(base)).evaluation == {"ndcg": 0.5}
    assert load_encoder("bidirectional", str(base), adapter="none").evaluation == {}
    assert load_encoder("causal", str(base)).evaluation == {}
    card.write_text(CARD.format(base="0" * 64), "utf-8")
    assert load_encoder("bidirectional", str(base)).evaluation == {}


def test_an_adapter_is_checked_without_loading_the_model(base: Path, tmp_path: Path):
    file = tmp_path / "own.safetensors"
    write_adapter(base, file)
    check_model("bidirectional", str(base), str(file))
    with pytest.raises(WeightsError, match="is for bidirectional, not for causal"):
        check_model("causal", str(base), str(file))
    file.write_bytes(b"garbage")
    with pytest.raises(WeightsError, match=r"cannot read adapter own\.safetensors"):
        check_model("bidirectional", str(base), str(file))


@pytest.mark.parametrize("name", variants())
def test_what_is_packaged_for_a_variant_loads_on_the_default_base(name: str):
    file = find_packaged(name, "safetensors")
    loaded = load_encoder(name, WEIGHTS)
    assert loaded.adapter == (file.name if file else None)
