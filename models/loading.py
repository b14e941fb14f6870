"""From a variant's name and a checkpoint's address to an encoder that is ready to run."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from models.attention import ATTENTIONS
from models.config import AttentionOptions, EncoderConfig
from models.encoder import Encoder
from models.errors import WeightsError
from models.tokenizer import Tokenizer
from models.weights import Checkpoint, fingerprint, load_base, locate, on_this_machine

# Grows when the same weights begin to mean another function: pooling, segmentation, memory arithmetic.
COMPUTATION_VERSION = 1


@dataclass(frozen=True, slots=True)
class LoadedEncoder:
    """An encoder with everything needed to use it.

    Attributes:
        encoder: In evaluation mode, parameters frozen, float32.
        tokenizer: Cuts texts into its segments.
        attention: Key of the variant.
        base: Name of the checkpoint.
        fingerprint: sha256 over configuration, tokenizer and every weight tensor.
    """

    encoder: Encoder
    tokenizer: Tokenizer
    attention: str
    base: str
    fingerprint: str


def load_encoder(
    attention: str, weights: str, options: AttentionOptions | None = None
) -> LoadedEncoder:
    """Load a variant on a checkpoint.

    Args:
        attention: Key of `ATTENTIONS`.
        weights: Address understood by `models.weights.locate`.
        options: Choices of the variant.

    Raises:
        WeightsError: unknown variant, or the checkpoint is missing, incomplete or of another architecture.
    """
    _require_known(attention)
    options = options or AttentionOptions()
    checkpoint = locate(weights)
    config = read_config(checkpoint)
    encoder = build_encoder(attention, config, options)
    load_base(encoder, checkpoint.file("model.safetensors"), config.layers)
    encoder.eval().requires_grad_(requires_grad=False)
    tokenizer_file = checkpoint.file("tokenizer.json")
    description: dict[str, Any] = {
        "computation": COMPUTATION_VERSION,
        "attention": attention,
        "config": config.as_dict(),
        "tokenizer": tokenizer_file.read_text(encoding="utf-8"),
    }
    if encoder.has_memory:  # a stateless variant is the same model under any memory option
        description["options"] = options.as_dict()
    return LoadedEncoder(
        encoder=encoder,
        tokenizer=Tokenizer(tokenizer_file, config.max_tokens),
        attention=attention,
        base=checkpoint.name,
        fingerprint=fingerprint(description, encoder.state_dict()),
    )


def check_model(attention: str, weights: str) -> None:
    """Find out whether a model can be expected to load, without loading or downloading weights.

    Raises:
        WeightsError: unknown variant, or the checkpoint is not there, incomplete or of another architecture.
    """
    _require_known(attention)
    checkpoint = on_this_machine(weights)
    if checkpoint is not None:
        read_config(checkpoint)
        for name in ("model.safetensors", "tokenizer.json"):
            checkpoint.file(name)


def _require_known(attention: str) -> None:
    if attention not in ATTENTIONS:
        raise WeightsError(f"unknown attention {attention!r}; known: {', '.join(ATTENTIONS)}")


def build_encoder(attention: str, config: EncoderConfig, options: AttentionOptions) -> Encoder:
    """Assemble an encoder with random parameters."""
    variant = ATTENTIONS[attention]
    return Encoder(config, lambda: variant(config, options))


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
