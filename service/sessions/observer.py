"""What happens to sessions, told to whoever counts; sessions know nothing of metrics."""

from typing import Literal, Protocol

SessionEvent = Literal[
    "create",
    "append",
    "replay",
    "conflict",
    "complete",
    "delete",
    "lost",
    "recover",
    "evict",
    "fork",
    "export",
    "import",
    "expire",
    "forget",
]


class SessionObserver(Protocol):
    """Listener for what the catalog, the appender and the hot states do; must not raise."""

    def event(self, name: SessionEvent) -> None:
        """Note one event.

        `append` and `replay` are told per chunk, `recover` when a state was read from the store
        because it was not hot, `evict` when a hot state made room (the store still has it), `expire` when a sweep
        removed what was left of a session past its time, `forget` when it removed an old tombstone.
        """
        ...

    def appended(self, position_tokens: int, tokens: int, seconds: float) -> None:
        """Note one committed chunk.

        Args:
            position_tokens: Content tokens of its session before it.
            tokens: Its own content tokens.
            seconds: From the start of its work to its commit.
        """
        ...


class SilentObserver:
    """An observer that does not listen."""

    def event(self, name: SessionEvent) -> None:
        """Ignore the event."""

    def appended(self, position_tokens: int, tokens: int, seconds: float) -> None:
        """Ignore the chunk."""
