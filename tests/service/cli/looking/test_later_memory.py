"""Layers below the first with a memory are shown like the others, with nothing remembered."""

from pathlib import Path

import pytest
import torch

from models.config import AttentionOptions
from models.loading import LoadedEncoder, load_encoder
from models.memory import Memory
from service.cli.looking.heatmap import draw
from service.cli.looking.view import Choice, Look, Stage, look
from tests.service.cli.looking.kit import TEXT
from tests.service.cli.looking.test_terminal import shown, table


@pytest.fixture
def later(config: Path) -> LoadedEncoder:
    """Return a small model with a memory in the second of its two layers."""
    options = AttentionOptions(gate_logit=0.3, memory_from=1)
    return load_encoder("infini", str(config.parent / "tiny"), options, adapter="none")


def _look(loaded: LoadedEncoder, layer: int, stage: Stage, *, head: str = "mean") -> Look:
    """Look into a layer after the model has read the text once."""
    [segment] = loaded.tokenizer.segments([TEXT])[0]
    with torch.inference_mode():
        output = loaded.encoder([segment], [loaded.encoder.empty_memory()])
    memory: Memory = output.memories[0]
    [text] = loaded.tokenizer.tokenize([TEXT])
    return look(loaded, Choice("later", layer, head, stage), text, memory)


@pytest.mark.parametrize("stage", Stage)
def test_the_share_is_zero_below_and_not_above(later: LoadedEncoder, stage: Stage):
    below, above = (_look(later, layer, stage).views[-1].memory_share for layer in (0, 1))
    assert below is not None
    assert above is not None
    assert not below.any()
    assert (above > 0).all()


def test_both_are_drawn_and_printed(later: LoadedEncoder, tmp_path: Path):
    for layer in (0, 1):
        seen = _look(later, layer, Stage.WEIGHTS)
        draw(seen, tmp_path / "map.png")
        heading, *rows = table(shown(seen, terminal=False))
        assert "memory" in heading
        shares = [row.split()[-1] for row in rows[: len(seen.tokens)]]
        assert (set(shares) == {"0.00"}) == (layer == 0)
