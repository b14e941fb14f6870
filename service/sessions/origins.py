"""How a session began: fresh, as a fork of another, or from a file; and which request asked for it."""

from dataclasses import dataclass, replace
from typing import Literal

from service.sessions.records import ChunkRecord, SessionRecord

BeginOutcome = Literal["begun", "key_taken", "source_gone", "id_taken"]
"""What became of a beginning; nothing was changed unless it is `begun`. Checked in this order."""


@dataclass(frozen=True, slots=True)
class SessionTraits:
    """What a session is from its beginning on; nothing changes it.

    Attributes:
        indexed: Whether its chunk vectors are kept to be searched.
        forked_from: Id of the session whose past it shares, None for one that began by itself.
        forked_at: How many chunks the two share; None likewise.
    """

    indexed: bool = False
    forked_from: str | None = None
    forked_at: int | None = None


NO_TRAITS = SessionTraits()
"""Of a session that began by itself and is not searched."""


@dataclass(frozen=True, slots=True)
class RequestRecord:
    """What an `Idempotency-Key` of a request that began a session stands for.

    It belongs to the tenant, not to the session, and stays when the session is deleted: a retry must not begin another.

    Attributes:
        key: The client's key.
        digest: SHA-256 over all that the request says.
        session_id: The session it began.
    """

    key: str
    digest: bytes
    session_id: str


@dataclass(frozen=True, slots=True)
class Beginning:
    """A session to begin; a store does all of it or none of it.

    Attributes:
        record: The session as it begins.
        state: Its encoded state.
        traits: What stays with it.
        source: An open session whose kept chunks before `record.next_seq` are copied; None copies none. Chunks never
            change once they were read, so only tenant, id and incarnation matter, not the version. The store lets
            `record.kept_from` follow what the source keeps in that moment, see `begun_record`.
        chunks: Chunks with their answers that come with the session: all from `record.kept_from` on, or none where
            there is a source.
        request: The key of the request, None if it had none.
    """

    record: SessionRecord
    state: bytes
    traits: SessionTraits = NO_TRAITS
    source: SessionRecord | None = None
    chunks: tuple[ChunkRecord, ...] = ()
    request: RequestRecord | None = None

    def __post_init__(self) -> None:
        if self.source is not None and self.chunks:
            raise ValueError("chunks come from a source or with the beginning, not both")
        if any(chunk.seq >= self.record.next_seq for chunk in self.chunks):
            raise ValueError("chunks that come with a session were read before it goes on")
        come = [chunk.seq for chunk in self.chunks]
        if self.source is None and come != list(range(self.record.kept_from, self.record.next_seq)):
            raise ValueError("a session begins with all the chunks that its record says it keeps")
        if self.source is not None and self.source.tenant != self.record.tenant:
            raise ValueError("a session shares the past of its own tenant's sessions only")
        if self.request is not None and self.request.session_id != self.record.id:
            raise ValueError("a request stands for the session it begins")


def begun_record(record: SessionRecord, source: SessionRecord) -> SessionRecord:
    """Return the record of a session that begins with the past of `source`, as that is kept now."""
    return replace(record, kept_from=min(source.kept_from, record.next_seq))
