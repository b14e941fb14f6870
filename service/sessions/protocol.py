"""The rules of an append, without any input or output: values in, a decision or an error out.

A chunk is known by (session, sequence number, SHA-256 of its text). What was answered once is answered
again from the record, so the replay check comes before every check that a replay would fail.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from service.errors import BadRequest, Conflict, Gone, PreconditionFailed, Unprocessable
from service.sessions.lifetimes import is_expired
from service.sessions.records import ChunkRecord, KeyRecord, SessionRecord
from service.sessions.refusals import model_changed

ANY_ETAG = "*"


@dataclass(frozen=True, slots=True)
class Replay:
    """The chunk is stored: answer with what it got then."""

    chunk: ChunkRecord


@dataclass(frozen=True, slots=True)
class Apply:
    """The chunk is new and next: read it and commit it under this number."""

    seq: int


def chunk_digest(text: str) -> bytes:
    """Return the SHA-256 of a chunk.

    Raises:
        UnicodeEncodeError: The text holds an unpaired surrogate.
    """
    return hashlib.sha256(text.encode("utf-8")).digest()


def chunk_digests(texts: Sequence[str]) -> tuple[bytes, ...]:
    """Return the SHA-256 of each chunk of a request.

    Raises:
        BadRequest: `invalid_request`: a text is not Unicode.
    """
    try:
        return tuple(chunk_digest(text) for text in texts)
    except UnicodeEncodeError as error:
        raise BadRequest(
            "invalid_request", "a chunk holds an unpaired surrogate", param="chunks"
        ) from error


def request_digest(digests: Sequence[bytes]) -> bytes:
    """Return the SHA-256 over the digests of all chunks of a request."""
    return hashlib.sha256(b"".join(digests)).digest()


def require_open(record: SessionRecord, now: float) -> None:
    """Refuse tombstones, and what is past its time at `now`, whether it was swept or not.

    Raises:
        Gone: `session_deleted`, `session_expired` or `session_lost`.
    """
    if is_expired(record, now):
        raise Gone(
            "session_expired",
            f"session {record.id} expired; read the document again into a new session, with a longer ttl_seconds "
            "if it may pause that long",
        )
    if record.status == "deleted":
        raise Gone("session_deleted", f"session {record.id} was deleted")
    if record.status == "lost":
        raise session_lost(record.id)


def session_lost(session_id: str) -> Gone:
    """Return what is said of a session of which something stored does not verify."""
    return Gone(
        "session_lost",
        f"what is stored of session {session_id} did not verify; read the document again into a new session, "
        "and delete this one",
    )


def require_model(record: SessionRecord, fingerprint: str) -> None:
    """Refuse to go on with other weights than the session began with.

    Raises:
        Conflict: `model_changed`, with both fingerprints.
    """
    if record.fingerprint != fingerprint:
        raise model_changed(f"session {record.id}", record.model, record.fingerprint, fingerprint)


def require_etag(record: SessionRecord, if_match: tuple[str, ...] | None) -> None:
    """Check the client's precondition: one of these entity tags, `*` for any; None for no condition.

    Raises:
        PreconditionFailed: With the current entity tag.
    """
    if if_match is not None and not {ANY_ETAG, record.etag}.intersection(if_match):
        raise PreconditionFailed(
            "precondition_failed",
            f"the session is at {record.etag!r}, which is none of If-Match: {', '.join(if_match)}",
            extras={"etag": record.etag},
        )


def require_incomplete(record: SessionRecord) -> None:
    """Refuse to read on in a document that is complete.

    Raises:
        Conflict: `session_completed`.
    """
    if record.completed:
        raise Conflict(
            "session_completed",
            f"session {record.id} is complete: it takes no more chunks; begin another session for more text",
        )


def first_seq(
    record: SessionRecord, provided: int | None, key: KeyRecord | None, digest: bytes
) -> int:
    """Return the sequence number of a request's first chunk.

    Args:
        record: The session as stored.
        provided: The number the client gave, or None to have one assigned.
        key: What the request's idempotency key stands for, None if it is new or was not given.
        digest: `request_digest` of the request.

    Raises:
        Unprocessable: `idempotency_key_reused`: the key stands for another request.
    """
    if key is None:
        return record.next_seq if provided is None else provided
    if key.digest != digest or provided not in {None, key.first_seq}:
        raise Unprocessable(
            "idempotency_key_reused",
            "this Idempotency-Key was used for another request; every request needs its own",
            param="Idempotency-Key",
        )
    return key.first_seq


def decide(
    record: SessionRecord,
    kept: ChunkRecord | None,
    seq: int,
    digest: bytes,
    if_match: tuple[str, ...] | None = None,
) -> Replay | Apply:
    """Decide what to do with one chunk.

    Args:
        record: The session as stored; open.
        kept: The stored chunk of number `seq`, if there is one.
        seq: Number the chunk is to have.
        digest: `chunk_digest` of its text.
        if_match: Precondition as in `require_etag`. A replay changes nothing and is answered whatever it says,
            so that a client may repeat a conditional request whose answer got lost.

    Raises:
        Conflict: `session_completed` for whatever is no replay. It comes before the condition, which no other entity
            tag could make hold (RFC 9110, 13.2.1).
        PreconditionFailed: The session is at another version.
        Conflict: `sequence_conflict` with `expected_seq` and `provided_seq`: other content under
            this number, a number no longer kept, or a gap.
    """
    if kept is not None and kept.digest == digest:
        return Replay(kept)
    require_incomplete(record)
    require_etag(record, if_match)
    if seq == record.next_seq:
        return Apply(seq)
    if kept is not None:
        reason = f"chunk {seq} was read with other content"
    elif seq < record.next_seq:
        reason = f"chunk {seq} was read; its answer is no longer kept, or another writer's"
    else:
        reason = f"chunks {record.next_seq} to {seq - 1} are missing"
    raise _out_of_sequence(record, seq, f"{reason}; the session expects chunk {record.next_seq}")


def require_read(record: SessionRecord, kept: ChunkRecord | None, seq: int, digest: bytes) -> None:
    """Check that a text is the chunk that was read under a number.

    Args:
        record: The session as stored.
        kept: The stored chunk of number `seq`, if there is one.
        seq: The number.
        digest: `chunk_digest` of the text.

    Raises:
        Conflict: `sequence_conflict` with `expected_seq`, `provided_seq` and `next_seq`: other content was read under
            this number, what was read is no longer kept, or nothing ever was.
    """
    if kept is not None and kept.digest == digest:
        return
    if kept is not None:
        reason = f"chunk {seq} was read with other content"
    elif seq < record.next_seq:
        reason = f"chunk {seq} was read, and as what is no longer kept (sessions.kept_answers)"
    else:
        reason = f"chunk {seq} was never read: the session has {record.next_seq} chunks"
    raise _out_of_sequence(record, seq, reason).with_extras(next_seq=record.next_seq)


def _out_of_sequence(record: SessionRecord, seq: int, detail: str) -> Conflict:
    return Conflict(
        "sequence_conflict",
        detail,
        param="first_seq",
        extras={"expected_seq": record.next_seq, "provided_seq": seq},
    )
