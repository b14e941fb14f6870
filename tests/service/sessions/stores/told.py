"""What a client knows of a session, in plain numbers: the model that stores are held to."""

from dataclasses import dataclass, field

from service.errors import ServiceError
from service.sessions.origins import NO_TRAITS, SessionTraits
from service.sessions.records import SessionRecord
from service.sessions.recovery import known


@dataclass
class Told:
    """A session as its client was told of it, times in seconds; `begun` are the chunks it began with."""

    status: str = "open"
    log: list[str] = field(default_factory=list)
    last: float = 0.0
    ttl: float | None = None
    ends: float | None = None
    remembered: float = 0.0
    begun: int = 0
    traits: SessionTraits = NO_TRAITS
    request: str | None = None

    def code(self, now: float) -> str:
        """Return what asking for the session is answered with."""
        ends = [self.ends] if self.ends is not None else []
        ends += [self.last + self.ttl] if self.ttl is not None else []
        over = self.last if self.status == "deleted" else min(ends, default=None)
        if over is not None and now >= over + self.remembered:
            return "session_not_found"
        if self.status == "open" and over is not None and now >= over:
            return "session_expired"
        return self.status if self.status == "open" else f"session_{self.status}"


def answer_of(record: SessionRecord | None, session_id: str, now: float) -> str:
    """Return what the service's own rules answer, in the same words."""
    try:
        known(record, session_id, now)
    except ServiceError as error:
        return error.code
    return "open"
