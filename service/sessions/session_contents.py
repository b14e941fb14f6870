"""Everything about a session that moves with it from one service to another, as one value."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from service.errors import PayloadTooLarge
from service.sessions.codec import StateArrays
from service.sessions.records import ChunkRecord

METADATA_BYTES: Final = 16 * 1024
"""Most bytes of a session's own JSON object."""


@dataclass(frozen=True, slots=True)
class SessionContents:
    """A session without its place: no tenant, no version, no times.

    Attributes:
        model: Id of the model that reads it, where it comes from.
        fingerprint: That model's fingerprint.
        session_id: The id it had.
        next_seq: Chunks read so far.
        completed: Whether no more are taken.
        indexed: Whether it is searched.
        metadata: The client's JSON object, as text.
        state: What has been read.
        chunks: The newest chunks with their answers, ascending and without a gap up to `next_seq`; may be none.
    """

    model: str
    fingerprint: str
    session_id: str
    next_seq: int
    completed: bool
    indexed: bool
    metadata: str
    state: StateArrays
    chunks: tuple[ChunkRecord, ...]

    def __post_init__(self) -> None:
        first = self.next_seq - len(self.chunks)
        if [chunk.seq for chunk in self.chunks] != list(range(first, self.next_seq)):
            raise ValueError("the chunks that move with a session are the newest that it has read")


def metadata_text(metadata: Mapping[str, Any]) -> str:
    """Return a client's JSON object as it is kept.

    Raises:
        PayloadTooLarge: it is over `METADATA_BYTES`.
    """
    text = json.dumps(metadata, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    if len(text.encode()) > METADATA_BYTES:
        raise PayloadTooLarge(
            "payload_too_large",
            f"metadata: more than {METADATA_BYTES} bytes.",
            "metadata",
            {"max_metadata_bytes": METADATA_BYTES},
        )
    return text
