"""What there is to see of a text's attention: one step of one layer, per direction and head.

The command line reads `Stage` from here, so nothing heavy is imported before it is used.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from service.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from models.attention import Inspection
    from models.loading import LoadedEncoder
    from models.memory import Memory
    from models.tokenizer import TokenizedText

MEAN: Final = "mean"
ALL: Final = "all"
COMBINED: Final = "combined"


class Stage(StrEnum):
    """A step of attention: fit of query and key, its softmax over the keys, the values summed by that."""

    SCORES = "scores"
    WEIGHTS = "weights"
    OUTPUTS = "outputs"


@dataclass(frozen=True, slots=True)
class Choice:
    """What to look at.

    Attributes:
        model: Id of the model, for titles.
        layer: From 0; None is the last.
        head: A number from 0, `mean` or `all`.
        stage: The step.
    """

    model: str
    layer: int | None
    head: str
    stage: Stage


@dataclass(frozen=True, slots=True)
class Token:
    """A token and where it stands; CLS and SEP stand nowhere.

    Attributes:
        piece: As the vocabulary spells it.
        start: Its first character in the text.
        end: The character after its last.
    """

    piece: str
    start: int | None = None
    end: int | None = None

    @property
    def label(self) -> str:
        """The piece; characters that would upset a terminal or a picture are spelled out."""
        return self.piece if self.piece.isprintable() else ascii(self.piece)[1:-1]


@dataclass(frozen=True, slots=True)
class View:
    """One step of one direction, for one head or the mean over heads.

    Attributes:
        direction: `both`, `forward` or `backward`; `combined` for a head's output after directions are fused, heads
            weighted and memory mixed in.
        head: Number from 0, or `mean`.
        values: Scores (-inf where a token may not look) or weights, a token that looks per row, *shape* (t, t); or the
            norm of each token's output, *shape* (t,).
        memory_share: Part of each token's output that came from memory, in [0, 1], *shape* (t,); None without memory.
    """

    direction: str
    head: str
    values: "NDArray[np.float32]"
    memory_share: "NDArray[np.float32] | None"

    def as_dict(self) -> dict[str, Any]:
        """Return it ready for JSON; what may not be seen becomes null there."""
        return {
            "direction": self.direction,
            "head": self.head if self.head == MEAN else int(self.head),
            "values": self.values,
            "memory_share": self.memory_share,
        }


@dataclass(frozen=True, slots=True)
class Look:
    """Everything asked for, with what it is of.

    Attributes:
        choice: What was asked for; its layer is a number now.
        attention: Key of the variant.
        layers: How many the model has.
        heads: How many each of them has.
        context_tokens: What the memory had read before; None for a model without memory.
        tokens: CLS, the text's tokens, SEP.
        views: Heads in order, and the directions of each.
    """

    choice: Choice
    attention: str
    layers: int
    heads: int
    context_tokens: int | None
    tokens: tuple[Token, ...]
    views: tuple[View, ...]

    @property
    def title(self) -> str:
        """Model, layer, head, what was read before, and step, in words."""
        which = {MEAN: f"mean of {self.heads} heads", ALL: f"all {self.heads} heads"}
        head = which.get(self.choice.head, f"head {self.choice.head} of 0-{self.heads - 1}")
        if self.heads == 1:
            head = "its only head"
        layer = f"layer {self.choice.layer} of 0-{self.layers - 1}"
        read = f", after {counted(self.context_tokens)}" if self.context_tokens else ""
        return f"{self.choice.model}, {layer}, {head}{read}: {self.choice.stage}"

    def as_dict(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        return {
            "model": self.choice.model,
            "attention": self.attention,
            "stage": self.choice.stage,
            "layer": self.choice.layer,
            "layers": self.layers,
            "head": self.choice.head if self.choice.head in (MEAN, ALL) else int(self.choice.head),
            "heads": self.heads,
            "context_tokens": self.context_tokens,
            "tokens": self.tokens,
            "maps": [view.as_dict() for view in self.views],
        }


def counted(tokens: int) -> str:
    """Return so many tokens in words."""
    return f"{tokens:,} token{'' if tokens == 1 else 's'}"


def look(
    loaded: "LoadedEncoder", choice: Choice, text: "TokenizedText", memory: "Memory | None"
) -> Look:
    """Encode a text of at most one window and keep what was chosen.

    Args:
        loaded: The model.
        choice: What to look at.
        text: What to encode.
        memory: What was read before; None for a model without memory.

    Raises:
        ConfigError: there is no such layer or head.
    """
    import torch  # noqa: PLC0415 - the command line must not wait for torch

    layers = loaded.encoder.config.layers
    layer = layers - 1 if choice.layer is None else choice.layer
    if not 0 <= layer < layers:
        raise ConfigError(f"--layer {layer}: {choice.model} has layers 0 to {layers - 1}")
    [segment] = loaded.tokenizer.cut(text.ids)
    with torch.inference_mode():
        inspection = loaded.encoder.inspect(segment, memory)[layer]
    heads = len(inspection.outputs)
    choice = replace(choice, layer=layer, head=_checked_head(choice, heads))
    places = zip(text.pieces, text.offsets, strict=True)
    tokens = (Token("[CLS]"), *(Token(piece, *at) for piece, at in places), Token("[SEP]"))
    return Look(
        choice=choice,
        attention=loaded.attention,
        layers=layers,
        heads=heads,
        context_tokens=None if memory is None else memory.tokens_seen,
        tokens=tokens,
        views=tuple(_views(inspection, choice)),
    )


def _checked_head(choice: Choice, heads: int) -> str:
    if choice.head in (MEAN, ALL):
        return choice.head
    if not choice.head.isdecimal() or int(choice.head) >= heads:
        raise ConfigError(
            f"--head {choice.head}: {choice.model} has heads 0 to {heads - 1}; or say `mean` or `all`"
        )
    return str(int(choice.head))


def _views(inspection: "Inspection", choice: Choice) -> Iterator[View]:
    steps = list(_steps(inspection, choice.stage))
    if choice.head == MEAN:
        chosen = {MEAN: slice(None)}
    else:
        numbers = range(len(inspection.outputs)) if choice.head == ALL else [int(choice.head)]
        chosen = {str(number): slice(number, number + 1) for number in numbers}
    for head, rows in chosen.items():
        for direction, values in steps:
            # Memory is mixed in after the last step: what was computed before has no part of it.
            share = inspection.memory_share if direction == steps[-1][0] else None
            yield View(
                direction,
                head,
                values[rows].mean(0).numpy(),
                None if share is None else share[rows].mean(0).numpy(),
            )


def _steps(inspection: "Inspection", stage: Stage) -> "Iterator[tuple[str, Tensor]]":
    """Yield a direction and what the step gave there, all heads."""
    for attention_map in inspection.maps:
        if stage is Stage.SCORES:
            yield attention_map.direction, attention_map.scores
        elif stage is Stage.WEIGHTS:
            yield attention_map.direction, attention_map.weights
        else:
            yield attention_map.direction, attention_map.outputs.norm(dim=-1)
    [first, *others] = inspection.maps
    if stage is Stage.OUTPUTS and (others or not first.outputs.equal(inspection.outputs)):
        yield COMBINED, inspection.outputs.norm(dim=-1)
