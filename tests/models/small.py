"""A tiny checkpoint in the published layout, with a tokenizer that knows its words."""

import json
import random
from pathlib import Path

import tokenizers
from safetensors.torch import save_file

from models.weights import published_names
from tests.models.conftest import TINY, tiny

WORDS = [
    *("river", "stone", "light", "garden", "winter", "morning", "answer", "letter", "window"),
    *("harbour", "runs", "falls", "opens", "waits", "turns", "old", "quiet", "green", "far"),
    *("cold", "and", "of", "the"),
]
_MARKS = ["[CLS]", "[SEP]", "[UNK]"]
_PIECES = ["##s", "##ed", "."]

CONFIG = {
    "model_type": "bert",
    "hidden_size": TINY.width,
    "num_hidden_layers": TINY.layers,
    "num_attention_heads": TINY.heads,
    "intermediate_size": TINY.feed_forward_width,
    "vocab_size": TINY.vocabulary,
    "max_position_embeddings": TINY.positions,
    "type_vocab_size": TINY.token_types,
    "layer_norm_eps": TINY.norm_epsilon,
}


def write_tokenizer(file: Path) -> Path:
    """Write a WordPiece tokenizer whose ids fit `TINY`."""
    names = [*_MARKS, *WORDS, *_PIECES]
    vocabulary = {name: place for place, name in enumerate(names)}
    built = tokenizers.Tokenizer(tokenizers.models.WordPiece(vocabulary, unk_token="[UNK]"))  # noqa: S106 - a token of text
    built.normalizer = tokenizers.normalizers.BertNormalizer()
    built.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    built.add_special_tokens(_MARKS)
    built.save(str(file))
    return file


def write_checkpoint(folder: Path) -> Path:
    """Write a checkpoint of `TINY` shapes that loads; its tensors are `tiny("multi-head")`'s."""
    (folder / "1_Pooling").mkdir(parents=True)
    (folder / "1_Pooling/config.json").write_text('{"pooling_mode_mean_tokens": true}', "utf-8")
    (folder / "config.json").write_text(json.dumps(CONFIG), "utf-8")
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 128}', "utf-8")
    write_tokenizer(folder / "tokenizer.json")
    state = tiny("multi-head").state_dict()
    tensors = {theirs: state[ours] for ours, theirs in published_names(TINY.layers).items()}
    save_file(tensors, folder / "model.safetensors")
    return folder


def random_texts(count: int, longest: int, seed: int = 0) -> list[str]:
    """Return different texts of 1 to `longest` known words, each word one token."""
    draw = random.Random(seed)  # noqa: S311 - a reproducible sample, no secret
    texts: dict[str, None] = {}
    while len(texts) < count:
        texts[" ".join(draw.choices(WORDS, k=draw.randint(1, longest)))] = None
    return list(texts)
