"""Small encoders of every variant behind a configuration file, and the command that looks into them."""

import json
import shutil
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import save_file
from typer.testing import CliRunner, Result

from models.config import AttentionOptions
from models.loading import LoadedEncoder, build_encoder, load_encoder
from models.variants import variants
from models.weights import locate
from models.weights.bert import published_names
from service.cli import app
from service.cli.looking.view import Choice, Look, Stage, look
from tests.models.conftest import TINY, WEIGHTS

TEXT = "She opened the letter."
WINDOW = 100  # more than can be shown


def write_checkpoint(target: Path) -> Path:
    """Write a checkpoint of 2 layers and 3 heads that reads any text; return it."""
    source = locate(WEIGHTS)
    (target / "1_Pooling").mkdir(parents=True)
    for name in ("tokenizer.json", "1_Pooling/config.json"):
        shutil.copy(source.file(name), target / name)
    config = json.loads(source.file("config.json").read_text("utf-8"))
    shapes = replace(TINY, vocabulary=config["vocab_size"])
    config |= {
        "hidden_size": shapes.width,
        "num_hidden_layers": shapes.layers,
        "num_attention_heads": shapes.heads,
        "intermediate_size": shapes.feed_forward_width,
        "max_position_embeddings": shapes.positions,
    }
    (target / "config.json").write_text(json.dumps(config), "utf-8")
    window = json.dumps({"max_seq_length": WINDOW + 2})
    (target / "sentence_bert_config.json").write_text(window, "utf-8")
    torch.manual_seed(3)
    state = build_encoder("multi-head", shapes, AttentionOptions()).state_dict()
    tensors = {theirs: state[ours] for ours, theirs in published_names(shapes.layers).items()}
    save_file(tensors, target / "model.safetensors")
    return target


def write_config(folder: Path) -> Path:
    """Write a configuration with a small model of every variant, called as the variant is."""
    weights = str(write_checkpoint(folder / "tiny"))
    models = [
        {"id": name, "attention": name, "weights": weights, "adapter": "none"}
        for name in variants()
    ]
    file = folder / "config.yaml"
    file.write_text(yaml.safe_dump({"models": models}), "utf-8")
    return file


@cache
def load(config: Path, attention: str) -> LoadedEncoder:
    """Load a model of that configuration without the command."""
    return load_encoder(attention, str(config.parent / "tiny"), adapter="none")


def look_at(
    loaded: LoadedEncoder, text: str = TEXT, head: str = "mean", stage: Stage = Stage.WEIGHTS
) -> Look:
    """Look into the last layer, with an empty memory where there is one."""
    memory = loaded.encoder.empty_memory() if loaded.encoder.has_memory else None
    choice = Choice(loaded.attention, None, head, stage)
    [tokenized] = loaded.tokenizer.tokenize([text])
    return look(loaded, choice, tokenized, memory)


def run(*arguments: object, stdin: str | bytes | None = None) -> Result:
    """Run `longstream attention` in this process."""
    return CliRunner().invoke(app, ["attention", *map(str, arguments)], input=stdin)


def said(*arguments: object, stdin: str | bytes | None = None) -> Any:
    """Run it with --json and return what it said."""
    result = run(*arguments, "--json", stdin=stdin)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)
