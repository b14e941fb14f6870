"""Correctness under load: a sample of the answers, and every sequence number."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from loadtests.bench.errors import BenchError
from loadtests.bench.load import Outcome
from loadtests.bench.target import SessionTarget, Target
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


async def check_session(target: SessionTarget, outcomes: Sequence[Outcome]) -> Agreement:
    """Read one session's chunks again, alone and in order, and compare the vectors.

    Raises:
        BenchError: there was nothing to compare, or the second reading failed.
    """
    number = min(one.request.session for one in outcomes if one.request.session is not None)
    return await _read_again(target, number, _appends(outcomes, number)[:SAMPLE])


async def check_fork(target: SessionTarget, outcomes: Sequence[Outcome]) -> Agreement:
    """Read one fork's whole past and its own chunks again, as one new session, and compare the vectors.

    Raises:
        BenchError: no fork went on reading, or the second reading failed.
    """
    grown = {one.request.session for one in outcomes if one.ok and one.request.parent is None}
    for one in outcomes:
        parent, child = one.request.parent, one.request.session
        if parent is None or child is None or child not in grown:
            continue
        past = _appends(outcomes, parent)
        past = [older for older in past if older.request.first_seq < one.request.first_seq]
        return await _read_again(target, child, [*past, *_appends(outcomes, child)])
    raise BenchError("no fork was made and read on")


def _appends(outcomes: Sequence[Outcome], session: int) -> list[Outcome]:
    """Return a session's appends in the order of their chunks."""
    own = [one for one in outcomes if one.request.session == session and one.request.texts]
    return sorted(own, key=lambda one: one.request.first_seq)


async def _read_again(target: SessionTarget, number: int, own: Sequence[Outcome]) -> Agreement:
    if not own or not all(one.ok for one in own):
        raise BenchError(f"session {number} was not read to its end")
    await target.open_sessions([number])
    loaded, alone = [], []
    for one in own:
        answer = await target.send(replace(one.request, session=number))
        if answer.status != "ok":
            raise BenchError(f"session {number} cannot be read again: {answer.detail}")
        loaded.append(chunks_in(one.answer.body)[1])
        alone.append(chunks_in(answer.body)[1])
    return agreement(np.concatenate(alone), np.concatenate(loaded))
