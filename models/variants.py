"""What encoders are built of: one attention for all layers, and for some a reader and a recall head above them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from models.attention import ATTENTIONS, Attention
from models.attention.attenuated import AttenuatedAttention
from models.attention.multi_head import MultiHeadAttention
from models.config import AttentionOptions, EncoderConfig
from models.reader import ContextReader


@dataclass(frozen=True, slots=True)
class Variant:
    """The parts of an encoder that are not the base's.

    Attributes:
        attention: What each layer attends with.
        reader: Reads earlier segments into a segment's vector; None for most variants.
        recalls: Numbers are kept for questions, where a recall head was trained for the base.
    """

    attention: Callable[[EncoderConfig, AttentionOptions], Attention]
    reader: type[ContextReader] | None = None
    recalls: bool = False

    def attend(self, config: EncoderConfig, options: AttentionOptions, layer: int) -> Attention:
        """Build the attention of a layer, counted from 0.

        An attention with memory has none below `options.memory_from`: there it attends as `multi-head` does.
        """
        if self.attention_has_memory and layer < options.memory_from:
            return MultiHeadAttention(config, options)
        return self.attention(config, options)

    @property
    def attention_has_memory(self) -> bool:
        """True if what was read before changes how the layers attend."""
        return getattr(self.attention, "has_memory", False)

    @property
    def summary(self) -> str:
        """What the variant is, in a line: what its layers attend with, and what is above them."""
        parts = (self.attention, self.reader) if self.reader else (self.attention,)
        return " ".join((part.__doc__ or "").strip().splitlines()[0] for part in parts)


def variants() -> Mapping[str, Variant]:
    """Return every variant an encoder can be loaded as, by its name: each attention, and what is built around one."""
    plain = {name: Variant(attention) for name, attention in ATTENTIONS.items()}
    plus = Variant(AttenuatedAttention, reader=ContextReader, recalls=True)
    return {**plain, "infini-plus": plus}
