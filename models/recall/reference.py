"""The recall head once more, number by number and token by token: slow, and to be read beside the equations.

Tests hold it and `RecallHead` together, values and gradients.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from models.packing import Segment
from models.recall.codes import token_codes
from models.recall.head import RecallHead
from models.recall.memory import CROSS, GRAM, Parts
from models.recall.numbers import NumberRun
from models.recall.options import END, SYMBOLS


def write_slowly(
    head: RecallHead, states: Float[Tensor, "t d"], segment: Segment, parts: Parts
) -> Parts:
    """Do what `RecallHead.write` does."""
    gram, cross = parts[GRAM], parts[CROSS]
    for run in head.pieces.runs(segment.ids, head.options.slots, head.options.window):
        address, weight = record_of(head, states, segment, run)
        value = states.new_zeros(head.options.slots, SYMBOLS)
        for slot, symbol in enumerate([*map(int, run.digits), END]):
            if slot < head.options.slots:
                value[slot, symbol] = 1.0
        gram = gram + weight * torch.outer(address, address)
        cross = cross + weight * torch.outer(address, value.flatten())
    return {GRAM: gram, CROSS: cross}


def record_of(
    head: RecallHead, states: Float[Tensor, "t d"], segment: Segment, run: NumberRun
) -> tuple[Float[Tensor, " c"], Float[Tensor, ""]]:
    """Return a number's address and the weight it is written with.

    Of the number's mean state n and each text token's state s_t at distance d_t within reach:
    share_t = sigmoid(W_n n . W_s s_t / sqrt(a) + b[d_t]); address = sum share_t code(t), scaled to length 1;
    cue_t = softmax_t(w . s_t + c[d_t]); context = sum cue_t s_t; weight = clamp(MLP([n; context]), 0, 1).
    """
    reach = head.options.reach
    number = states[run.start : run.stop].mean(0)
    query = head.number_query(number)
    address, context = states.new_zeros(head.options.code), torch.zeros_like(number)
    total = states.new_zeros(())
    for place in range(1, len(segment.ids) - 1):
        before, after = run.start - place, place - run.stop
        if segment.ids[place] in head.pieces or before > reach or after >= reach:
            continue
        distance = reach - before if before > 0 else reach + after
        fit = query @ head.token_key(states[place]) / head.options.attention**0.5
        share = torch.sigmoid(fit + head.distance[distance])
        address = address + share * token_codes(torch.tensor(segment.ids[place]), len(address))
        cue = torch.exp(head.cue(states[place])[0] + head.cue_distance[distance])
        context, total = context + cue * states[place], total + cue
    hidden = F.gelu(head.gate_hidden(torch.cat([number, context / total.clamp(min=1e-30)])))
    return _scaled(address), head.gate_score(hidden)[0].clamp(0, 1)


def votes_slowly(
    head: RecallHead, states: Float[Tensor, "t d"], segment: Segment, parts: Parts
) -> Float[Tensor, "slots symbols"]:
    """Return what a state says to a question: `RecallHead.votes` of `RecallHead.asked`.

    asked = sum sigmoid(MLP(s_t)) code(t), scaled to length 1; votes = asked (gram + ridge I)^-1 cross.
    """
    asked = torch.zeros(head.options.code)
    for place in range(1, len(segment.ids) - 1):
        if segment.ids[place] not in head.pieces:
            score = head.question_score(F.gelu(head.question_hidden(states[place])))[0]
            code = token_codes(torch.tensor(segment.ids[place]), len(asked))
            asked = asked + torch.sigmoid(score) * code
    regular = parts[GRAM] + head.options.ridge * torch.eye(len(asked))
    found: Tensor = _scaled(asked) @ torch.linalg.inv(regular) @ parts[CROSS]
    return found.view(head.options.slots, SYMBOLS)


def _scaled(x: Float[Tensor, " c"]) -> Float[Tensor, " c"]:
    return x / (x @ x + 0.01**2).sqrt()
