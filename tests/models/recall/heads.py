"""Small recall heads with random parameters, alone or in an encoder, and segments with numbers in them."""

from dataclasses import replace

import torch
from torch import Tensor

from models.encoder import Encoder
from models.packing import Segment
from models.recall import NumberPieces, RecallHead, RecallOptions

CLS, SEP, WORD = 0, 1, 30
PIECES = NumberPieces(
    {n: str(n) for n in range(10, 20)} | {n: f"##{n - 20}" for n in range(20, 30)}
)
"""Tokens 10 to 19 are numbers of two digits, 20 to 29 go on with one digit; all others are words."""
OPTIONS = RecallOptions(width=16, code=24, attention=6, hidden=7, reach=4, slots=6, window=20)


def random_head(options: RecallOptions = OPTIONS) -> RecallHead:
    """Return a head whose gate lets through some of random states, and not at full weight."""
    torch.manual_seed(5)
    head = RecallHead(options, PIECES)
    with torch.no_grad():
        head.gate_score.bias.fill_(0.4)
        head.distance.normal_()
        head.cue_distance.normal_()
    return head.eval()


def attach_head(encoder: Encoder) -> RecallHead:
    """Give an encoder a random head that reads its first layer; return the head."""
    head = random_head(replace(OPTIONS, width=encoder.config.width, layer=1))
    encoder.recall = head
    return head


def segment(*ids: int) -> Segment:
    return Segment((CLS, *ids, SEP))


def random_states(of: Segment, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(len(of.ids), OPTIONS.width, generator=generator)
