"""What a session keeps of its past: answers for retries and searches, states to fork from. Pure."""

from dataclasses import dataclass

from service.sessions.changes import forget_before


@dataclass(frozen=True, slots=True)
class Retention:
    """How much is kept per session.

    Attributes:
        answers: Answers that a retry can still get, None for all.
        index_chunks: Answers that a search needs, of sessions that are searched.
        snapshots: States of the past; 0 for none.
        snapshot_every: Chunks from one such state to the next.
    """

    answers: int | None = None
    index_chunks: int = 1
    snapshots: int = 0
    snapshot_every: int = 1

    def forget_before(self, next_seq: int, request_first_seq: int, *, indexed: bool) -> int:
        """Return the number before which answers may be dropped; see `changes.forget_before`."""
        kept = self.answers
        if kept is not None and indexed:
            kept = max(kept, self.index_chunks)
        return forget_before(next_seq, kept, request_first_seq)

    def snapshots_at(self, next_seq: int) -> int:
        """Return how many snapshots to keep once the state after `next_seq` chunks is one; 0 if it is not."""
        return self.snapshots if next_seq % self.snapshot_every == 0 else 0
