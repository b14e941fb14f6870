"""From a variant's name and a checkpoint's address to an encoder that is ready to run."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import torch

from models.checkpoints import packaged
from models.config import AttentionOptions, EncoderConfig, Precision
from models.encoder import Encoder
from models.errors import WeightsError
from models.recall import packaged_recall
from models.tokenizer import Tokenizer
from models.variants import variants
from models.weights import (
    AdapterHeader,
    Checkpoint,
    fingerprint,
    load_adapter,
    load_base,
    locate,
    on_this_machine,
    published_names,
    read_card,
    read_header,
)

# Grows when the same weights begin to mean another function: pooling, segmentation, memory arithmetic.
COMPUTATION_VERSION = 1
PACKAGED: Final = "packaged"
WITHOUT: Final = "none"


@dataclass(frozen=True, slots=True)
class LoadedEncoder:
    """An encoder with everything needed to use it.

    Attributes:
        encoder: In evaluation mode, parameters frozen, float32.
        tokenizer: Cuts texts into its segments.
        attention: Key of the variant.
        base: Name of the checkpoint.
        base_sha256: Fingerprint of the base's tensors alone.
        fingerprint: sha256 over configuration, tokenizer and every weight tensor.
        adapter: File name of the adapter, None without one.
        adapter_bytes: Size of that file; 0 without one.
        evaluation: Figures of the variant's card; empty where it has none for this base.
        precision: What its linear layers are computed in.
    """

    encoder: Encoder
    tokenizer: Tokenizer
    attention: str
    base: str
    base_sha256: str
    fingerprint: str
    adapter: str | None
    adapter_bytes: int
    evaluation: Mapping[str, Any]
    precision: Precision = "fp32"


def load_encoder(
    attention: str,
    weights: str,
    options: AttentionOptions | None = None,
    adapter: str = PACKAGED,
) -> LoadedEncoder:
    """Load a variant on a checkpoint.

    Args:
        attention: Key of `models.variants.variants()`.
        weights: Address understood by `models.weights.locate`.
        options: Choices of the variant; where there is an adapter, all but the memory rule are as it was trained.
        adapter: `packaged` for the one that comes with the variant, if any; `none`, which leaves out the recall head as
            well; or a file.

    Raises:
        WeightsError: unknown variant; options that its shapes do not allow; the checkpoint is missing, incomplete or
            of another architecture; the adapter is missing, of another variant, or trained on another base.
    """
    _require_known(attention)
    checkpoint = locate(weights)
    config = read_config(checkpoint)
    file = _adapter_file(attention, adapter)
    header = read_header(file) if file else None
    options = options or AttentionOptions()
    if header:
        options = replace(
            options,
            score=header.score,
            memory_from=header.memory_from,
            memory_rank=header.memory_rank,
        )
    with torch.random.fork_rng(devices=[]):
        # What nothing is loaded into is the same in every process, and so is the fingerprint.
        torch.manual_seed(0)
        encoder = build_encoder(attention, config, options)
    load_base(encoder, checkpoint.file("model.safetensors"), config.layers)
    base_sha256 = _base_sha256(encoder)
    if file and header:
        _require_fit(header, attention, base_sha256, file.name)
        load_adapter(encoder, file, set(encoder.state_dict()) - _base_names(encoder))
    if adapter != WITHOUT and variants()[attention].recalls:
        encoder.recall = packaged_recall(base_sha256, options.memory_from)
    encoder.eval().requires_grad_(requires_grad=False)
    tokenizer_file = checkpoint.file("tokenizer.json")
    return LoadedEncoder(
        encoder=encoder,
        tokenizer=Tokenizer(tokenizer_file, config.max_tokens),
        attention=attention,
        base=checkpoint.name,
        base_sha256=base_sha256,
        fingerprint=fingerprint(
            _description(attention, encoder, options, tokenizer_file), encoder.state_dict()
        ),
        adapter=file.name if file else None,
        adapter_bytes=file.stat().st_size if file else 0,
        evaluation=_figures(attention, base_sha256) if adapter == PACKAGED else {},
    )


def _description(
    attention: str, encoder: Encoder, options: AttentionOptions, tokenizer_file: Path
) -> dict[str, Any]:
    """Return everything but tensors that makes the function a model computes what it is."""
    description: dict[str, Any] = {
        "computation": COMPUTATION_VERSION,
        "attention": attention,
        "config": encoder.config.as_dict(),
        "tokenizer": tokenizer_file.read_text(encoding="utf-8"),
        "score": options.score,
    }
    if encoder.layers_write:  # of others, tensors tell all that memory options change
        description["options"] = options.as_dict()
    if encoder.recall is not None:
        description["recall"] = encoder.recall.options.as_dict()
    return description


def _adapter_file(attention: str, adapter: str) -> Path | None:
    if adapter == WITHOUT:
        return None
    if adapter == PACKAGED:
        return packaged(attention, "safetensors")
    file = Path(adapter).expanduser()
    if not file.is_file():
        raise WeightsError(f"there is no adapter {adapter}: give a file, `packaged` or `none`")
    return file


def _require_fit(header: AdapterHeader, attention: str, base_sha256: str, name: str) -> None:
    if header.attention != attention:
        raise WeightsError(f"adapter {name} is for {header.attention}, not for {attention}")
    if header.base != base_sha256:
        raise WeightsError(
            f"adapter {name} was trained on another base (sha256 {header.base[:12]}, these weights are "
            f"{base_sha256[:12]}): use that one, or `adapter: none` for the untrained variant"
        )


def _base_names(encoder: Encoder) -> set[str]:
    return set(published_names(encoder.config.layers))


def _base_sha256(encoder: Encoder) -> str:
    tensors, names = encoder.state_dict(), _base_names(encoder)
    return fingerprint({}, {name: tensors[name] for name in names})


def _figures(attention: str, base_sha256: str) -> Mapping[str, Any]:
    """Return the figures of the variant's card, unless they are of another base."""
    file = packaged(attention, "md")
    card = read_card(file) if file else None
    return card.evaluation if card and card.base == base_sha256 else {}


def check_model(attention: str, weights: str, adapter: str = PACKAGED) -> None:
    """Find out whether a model can be expected to load, without loading or downloading weights.

    Raises:
        WeightsError: unknown variant; the checkpoint is not there, incomplete or of another architecture; the adapter
            is not there or of another variant.
    """
    _require_known(attention)
    file = _adapter_file(attention, adapter)
    if file and (header := read_header(file)).attention != attention:
        raise WeightsError(f"adapter {file.name} is for {header.attention}, not for {attention}")
    checkpoint = on_this_machine(weights)
    if checkpoint is not None:
        read_config(checkpoint)
        for name in ("model.safetensors", "tokenizer.json"):
            checkpoint.file(name)


def _require_known(attention: str) -> None:
    if attention not in variants():
        raise WeightsError(f"unknown attention {attention!r}; known: {', '.join(variants())}")


def build_encoder(attention: str, config: EncoderConfig, options: AttentionOptions) -> Encoder:
    """Assemble an encoder with random parameters.

    Raises:
        WeightsError: the options leave no layer a memory, or ask for a rank that the width does not have.
    """
    variant = variants()[attention]
    if variant.attention_has_memory and not 0 <= options.memory_from < config.layers:
        raise WeightsError(
            f"memory_from is {options.memory_from}; {attention} has layers 0 to {config.layers - 1}"
        )
    if not 0 <= options.memory_rank <= config.width:
        raise WeightsError(f"memory_rank is {options.memory_rank}, not in [0, {config.width}]")
    reader = variant.reader(config.width) if variant.reader else None
    return Encoder(config, lambda layer: variant.attend(config, options, layer), reader)


def read_config(checkpoint: Checkpoint) -> EncoderConfig:
    """Read the shapes of a checkpoint, and refuse one whose pooling is not the mean over tokens.

    Raises:
        WeightsError: a file is missing or asks for something this code does not implement.
    """
    window = _read_json(checkpoint, "sentence_bert_config.json").get("max_seq_length")
    pooling = _read_json(checkpoint, "1_Pooling/config.json")
    modes = {
        name for name, on in pooling.items() if name.startswith("pooling_mode_") and on is True
    }
    if modes - {"pooling_mode_mean_tokens"} or pooling.get("pooling_mode", "mean") != "mean":
        raise WeightsError(f"checkpoint {checkpoint.name}: only mean pooling is implemented")
    return EncoderConfig.from_published(_read_json(checkpoint, "config.json"), window)


def _read_json(checkpoint: Checkpoint, name: str) -> dict[str, Any]:
    path: Path = checkpoint.file(name)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise WeightsError(f"checkpoint {checkpoint.name}: {name} is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise WeightsError(f"checkpoint {checkpoint.name}: {name} is not a JSON object")
    return content


def use_threads(threads: int) -> None:
    """Set torch's intra-op threads of this process."""
    torch.set_num_threads(threads)
