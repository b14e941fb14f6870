"""Correctness under load: a sample of the answers, and every sequence number."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from loadtests.bench.errors import BenchError
from loadtests.bench.load import Outcome
from loadtests.bench.target import HttpTarget, Target
from loadtests.bench.vectors import Agreement, agreement, chunks_in, embeddings_in

SAMPLE: Final = 8


async def check_alone(target: Target, outcomes: Sequence[Outcome]) -> Agreement:
    """Compare a sample of stateless answers with the same texts asked alone, one by one.

    Args:
        target: Who gave them; nothing else should be asking it now.
        outcomes: What came back under load.

    Raises:
        BenchError: there was nothing to compare, or an answer is none.
    """
    answered = [one for one in outcomes if one.ok]
    if not answered:
        raise BenchError(f"{target.name} answered nothing that could be checked")
    chosen = answered[:: max(1, len(answered) // SAMPLE)][:SAMPLE]
    loaded, alone = [], []
    for number, outcome in enumerate(chosen):
        place = number % len(outcome.request.texts)
        loaded.append(embeddings_in(outcome.answer.body)[place])
        alone.append((await target.vectors([outcome.request.texts[place]]))[0])
    return agreement(np.stack(alone), np.stack(loaded))


def check_order(outcomes: Sequence[Outcome]) -> int:
    """Make sure that every answered append has the sequence numbers it was sent with.

    Returns:
        How many chunks were checked.

    Raises:
        BenchError: one has others; the message names it.
    """
    checked = 0
    for one in outcomes:
        request = one.request
        if not one.ok or request.session is None or request.parent is not None:
            continue
        found, _ = chunks_in(one.answer.body)
        expected = list(range(request.first_seq, request.first_seq + len(request.texts)))
        if found != expected:
            raise BenchError(f"session {request.session}: chunks {expected} came back as {found}")
        checked += len(found)
    return checked


async def check_session(target: HttpTarget, outcomes: Sequence[Outcome]) -> Agreement:
    """Read one session's chunks again, alone and in order, and compare the vectors.

    Raises:
        BenchError: there was nothing to compare, or the second reading failed.
    """
    number = min(one.request.session for one in outcomes if one.request.session is not None)
    own = [one for one in outcomes if one.request.session == number]
    own = sorted(own, key=lambda one: one.request.first_seq)[:SAMPLE]
    if not all(one.ok for one in own):
        raise BenchError(f"session {number} was not read to its end")
    await target.open_sessions([number])
    loaded, alone = [], []
    for one in own:
        answer = await target.send(one.request)
        if answer.status != "ok":
            raise BenchError(f"session {number} cannot be read again: {answer.detail}")
        loaded.append(chunks_in(one.answer.body)[1])
        alone.append(chunks_in(answer.body)[1])
    return agreement(np.concatenate(alone), np.concatenate(loaded))
