"""How long a session lives and is remembered, decided from its record and a clock's time and nothing else.

    open ──(expires_at)──► expired: 410 ──(tombstone_seconds)──► forgotten: 404, and its id is free
    open ──(delete)──────► deleted: 410 ──(tombstone_seconds)──► forgotten

A sweep only removes what these rules have given up already, so nothing depends on when it runs.
"""

from dataclasses import dataclass, replace

from service.errors import Unprocessable
from service.sessions.records import TOMBSTONE_SECONDS, SessionRecord


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """What the operator says about the lives of sessions.

    Attributes:
        ttl_seconds: Idle life of sessions whose client names none; None for ever.
        max_age_seconds: Longest life, however busy, and the largest `ttl_seconds` a client may ask for; None for any.
        tombstone_seconds: How long a session that is over is remembered.
    """

    ttl_seconds: float | None = None
    max_age_seconds: float | None = None
    tombstone_seconds: float = TOMBSTONE_SECONDS

    def begin(
        self, record: SessionRecord, ttl_seconds: float | None, parent: SessionRecord | None = None
    ) -> SessionRecord:
        """Return a record that begins with `ttl_seconds` as the client asked, None for its parent's or the default.

        Its life begins with it, whatever is left of its parent's.

        Raises:
            Unprocessable: `validation_error`: the client asks for more than `max_age_seconds`.
        """
        longest = self.max_age_seconds
        if ttl_seconds is not None and longest is not None and ttl_seconds > longest:
            raise Unprocessable(
                "validation_error",
                f"ttl_seconds: no session lives longer than {longest:g} seconds here",
                param="ttl_seconds",
                extras={"max_ttl_seconds": longest},
            )
        inherited = self.ttl_seconds if parent is None else parent.ttl_seconds
        return replace(
            record,
            ttl_seconds=inherited if ttl_seconds is None else ttl_seconds,
            ends_at=None if longest is None else record.created_at + longest,
            tombstone_seconds=self.tombstone_seconds,
        )


FOREVER = Lifetimes()
"""Sessions live until they are deleted."""


def is_expired(record: SessionRecord, now: float) -> bool:
    """Whether a session is past its time, swept or not; what was deleted or lost before stays that."""
    if record.status == "open":
        return record.expires_at is not None and now >= record.expires_at
    return record.status == "expired"


def is_forgotten(record: SessionRecord, now: float) -> bool:
    """Whether a session is as if it had never been, and its id free."""
    return record.forget_at is not None and now >= record.forget_at
