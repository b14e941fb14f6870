"""What a store keeps, as plain values: sessions without their state, chunks with their answers."""

from dataclasses import dataclass
from typing import Final, Literal

SessionStatus = Literal["open", "deleted", "lost", "expired"]

TOMBSTONE_SECONDS: Final = 86_400.0
"""How long a session that is over is remembered, unless it was begun with another time."""


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """Everything about a session except its state.

    Attributes:
        tenant: Owner; part of the key.
        id: Unique for the tenant, also among deleted sessions.
        incarnation: Random, chosen at creation: two sessions never share it, whatever their ids.
        model: Id of the model that reads it.
        fingerprint: The model's fingerprint when the session began.
        status: `open`; the others are tombstones: of a deleted or expired session nothing else is left, of a lost
            one everything is kept in quarantine and nothing is answered. An open record may be past its time: ask
            `lifetimes.is_expired`, not the status.
        version: Grows by one with each commit; what compare-and-set compares.
        next_seq: Chunks read so far.
        tokens: Content tokens read so far.
        created_at: Unix time, seconds.
        updated_at: Unix time of the last commit, seconds.
        metadata: The client's own JSON object, as text.
        state_bytes: Size of the stored state; 0 once deleted.
        completed: True once no more chunks are taken; what was read stays readable.
        ttl_seconds: How long it lives after its last commit; None for ever.
        ends_at: Unix time at which it ends however busy it is; None for never.
        tombstone_seconds: How long it is remembered once it is over; then its id is free again.
        kept_from: Number of the first chunk whose answer is kept; those before are not, and all from it on are.
    """

    tenant: str
    id: str
    incarnation: str
    model: str
    fingerprint: str
    status: SessionStatus
    version: int
    next_seq: int
    tokens: int
    created_at: float
    updated_at: float
    metadata: str
    state_bytes: int
    completed: bool = False
    ttl_seconds: float | None = None
    ends_at: float | None = None
    tombstone_seconds: float = TOMBSTONE_SECONDS
    kept_from: int = 0

    @property
    def expires_at(self) -> float | None:
        """Unix time from which it has expired unless something is committed before; None for never."""
        idle = None if self.ttl_seconds is None else self.updated_at + self.ttl_seconds
        return min((end for end in (idle, self.ends_at) if end is not None), default=None)

    @property
    def forget_at(self) -> float | None:
        """Unix time from which nobody need remember it; None for never."""
        over_at = self.updated_at if self.status == "deleted" else self.expires_at
        return None if over_at is None else over_at + self.tombstone_seconds

    @property
    def due_at(self) -> float | None:
        """Unix time at which a sweep has something to do with it; None for never."""
        return self.expires_at if self.status == "open" else self.forget_at

    @property
    def etag(self) -> str:
        """Entity tag without quotes; changes with every commit and never repeats."""
        return f"{self.incarnation}.{self.version}"


@dataclass(frozen=True, slots=True)
class ChunkRecord:
    """One committed chunk and the answer it got.

    Attributes:
        seq: Position in the session, from 0.
        digest: SHA-256 of the chunk's UTF-8 text, 32 bytes.
        embedding: Little-endian float32 vector.
        tokens: Content tokens of this chunk.
        token_start: Content tokens of the session before this chunk.
    """

    seq: int
    digest: bytes
    embedding: bytes
    tokens: int
    token_start: int


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """What an `Idempotency-Key` stands for, written with its request's first commit.

    It stays as long as the session: a retry must not be taken for a new request once the answers are
    no longer kept. Only that of a stream stands for another request with each commit. A request that commits nothing,
    because all its chunks are replays, leaves none: it had numbers, and may be sent again without.

    Attributes:
        key: The client's key.
        digest: SHA-256 over the digests of all chunks of the request.
        first_seq: Sequence number of the request's first chunk.
    """

    key: str
    digest: bytes
    first_seq: int
