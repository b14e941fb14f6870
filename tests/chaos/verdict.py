"""What is true in the end: histories against the store, the store against its checksums, and both against the model."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from service.sessions.codec import CorruptState, decode
from service.sessions.stores import CorruptRow, SessionStore
from tests.chaos.checker import check
from tests.chaos.client import Unanswered
from tests.chaos.history import Link, Operation, fingerprint, text_digest
from tests.chaos.http_wire import HttpWire

TENANT: Final = "public"
TOLERANCE: Final = 1e-5
"""Largest difference between a vector and that of the same chunks, read without a fault."""
_GROUP: Final = 32
_TRIES: Final = 100


@dataclass
class Verdict:
    """What was found over all sessions."""

    sessions: int = 0
    operations: Counter[str] = field(default_factory=Counter)
    attempts: int = 0
    acknowledged: int = 0
    chunks: int = 0
    violations: list[str] = field(default_factory=list)
    checksum_errors: list[str] = field(default_factory=list)
    refolded: int = 0
    largest_difference: float = 0.0

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong."""
        wrong = self.violations or self.checksum_errors
        return not wrong and self.largest_difference <= TOLERANCE

    def report(self) -> dict[str, Any]:
        """Return the figures."""
        rules = Counter(text.partition(" ")[0] for text in self.violations)
        return {
            "sessions": self.sessions,
            "operations": dict(sorted(self.operations.items())),
            "attempts": self.attempts,
            "acknowledged_chunks": self.acknowledged,
            "stored_chunks": self.chunks,
            "lost": rules["lost"],
            "applied_twice": rules["twice"],
            "violations": dict(rules),
            "first_violations": self.violations[:5],
            "checksum_errors": len(self.checksum_errors),
            "refolded_chunks": self.refolded,
            "largest_difference": self.largest_difference,
        }


async def judge(
    histories: Mapping[str, Sequence[Operation]], store: SessionStore, wire: HttpWire, model: str
) -> Verdict:
    """Check every session; nobody works on them any more.

    Args:
        histories: What clients did, by session.
        store: The store of the service, opened beside it; every row read is verified.
        wire: The service, which reads the same chunks again into fresh sessions.
        model: What it reads them with.
    """
    verdict = Verdict(sessions=len(histories))
    for session, operations in histories.items():
        verdict.operations.update(f"{one.kind} {one.outcome}" for one in operations)
        verdict.attempts += sum(one.attempts for one in operations)
        told = [each for one in operations if one.kind == "append" for each in one.told]
        verdict.acknowledged += len(told)
        try:
            chain, vectors = await _chain(store, session)
        except (CorruptRow, CorruptState) as error:
            verdict.checksum_errors.append(f"{session}: {error}")
            continue
        verdict.chunks += len(chain)
        found = check(session, operations, chain)
        verdict.violations += [f"{one.rule} {one.session} {one.detail}" for one in found]
        texts = {text_digest(text): text for one in operations for text in one.texts}
        if all(link.digest in texts for link in chain):
            difference = await _refold(
                wire, model, session, [texts[link.digest] for link in chain], vectors
            )
            verdict.refolded += len(chain)
            verdict.largest_difference = max(verdict.largest_difference, difference)
    return verdict


async def _chain(store: SessionStore, session: str) -> tuple[list[Link], list[NDArray[np.float32]]]:
    """Return a session as it is stored, its record, its state and all of its rows verified.

    Raises:
        CorruptRow, CorruptState: Something is not what was written.
    """
    found = await store.get_with_state(TENANT, session)
    if found is None:
        raise CorruptRow("there is no record")
    record, state = found
    if decode(state).tokens != record.tokens:
        raise CorruptState("state and record disagree on the tokens read")
    chunks = await store.chunks(TENANT, session, 0, 1_000_000)
    if len(chunks) != record.next_seq:
        raise CorruptRow(f"{len(chunks)} chunks, the record says {record.next_seq}")
    vectors = [np.frombuffer(chunk.embedding, "<f4") for chunk in chunks]
    links = [
        Link(chunk.digest.hex(), fingerprint(vector))
        for chunk, vector in zip(chunks, vectors, strict=True)
    ]
    return links, vectors


async def _refold(
    wire: HttpWire, model: str, session: str, texts: list[str], vectors: list[NDArray[np.float32]]
) -> float:
    """Read the same chunks into a fresh session; return the largest difference of any number."""
    fresh = f"{session}-again"
    await wire.create(fresh, model)
    largest = 0.0
    for at in range(0, len(texts), _GROUP):
        again = await _patiently(wire, fresh, texts[at : at + _GROUP], at)
        pairs = zip(again, vectors[at : at + _GROUP], strict=True)
        largest = max([largest, *(float(np.abs(one - two).max()) for one, two in pairs)])
    (_, one), (_, two) = await wire.document(session), await wire.document(fresh)
    return max(largest, float(np.abs(one - two).max()))


async def _patiently(
    wire: HttpWire, session: str, texts: list[str], first_seq: int
) -> list[NDArray[np.float32]]:
    for _ in range(_TRIES):
        try:
            return await wire.vectors(session, texts, first_seq)
        except Unanswered:
            await asyncio.sleep(0.2)
    raise Unanswered(f"{session} could not be read again")
