"""How a session's record changes: values in, the next record out. Whether it may is decided by `protocol`."""

from dataclasses import replace

from service.sessions.records import SessionRecord, SessionStatus


def next_record(
    record: SessionRecord, tokens: int, state_bytes: int, now: float, forget_before: int = 0
) -> SessionRecord:
    """Return the record after a chunk of `tokens` content tokens was committed at `now`.

    Answers before `forget_before` are kept no longer.
    """
    return replace(
        record,
        version=record.version + 1,
        next_seq=record.next_seq + 1,
        tokens=record.tokens + tokens,
        state_bytes=state_bytes,
        updated_at=now,
        kept_from=max(record.kept_from, forget_before),
    )


def completed_record(record: SessionRecord, now: float) -> SessionRecord:
    """Return the record of a session whose document was completed at `now`."""
    return replace(record, completed=True, version=record.version + 1, updated_at=now)


def tombstone(record: SessionRecord, status: SessionStatus, now: float) -> SessionRecord:
    """Return the record of a session that is over.

    A lost one is in quarantine: only what was deleted on purpose or outlived its time is forgotten. When an expired one
    ended does not depend on when that was found.
    """
    grave = replace(record, status=status, version=record.version + 1)
    if status == "lost":
        return replace(grave, updated_at=now)
    emptied = replace(grave, metadata="{}", state_bytes=0, kept_from=grave.next_seq)
    return emptied if status == "expired" else replace(emptied, updated_at=now)


def lost_record(tenant: str, session_id: str, incarnation: str, now: float) -> SessionRecord:
    """Return what stands for a session whose own record does not verify, until it is deleted."""
    return SessionRecord(
        tenant=tenant,
        id=session_id,
        incarnation=incarnation,
        model="",
        fingerprint="",
        status="lost",
        version=0,
        next_seq=0,
        tokens=0,
        created_at=now,
        updated_at=now,
        metadata="{}",
        state_bytes=0,
    )


def forget_before(next_seq: int, kept_answers: int | None, request_first_seq: int) -> int:
    """Return the number before which answers may be dropped; 0 keeps all.

    The answers of the request under way always stay: a retry of it must find them, however many.
    """
    if kept_answers is None:
        return 0
    return max(0, min(next_seq - kept_answers, request_first_seq))
