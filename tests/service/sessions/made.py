"""Records, chunks and commits of sessions; needs no torch, so that tests of stores start fast."""

import hashlib

from service.sessions.changes import next_record
from service.sessions.origins import Beginning
from service.sessions.records import ChunkRecord, KeyRecord, SessionRecord
from service.sessions.stores.base import Commit, SessionStore

TENANT = "tenant-a"


def make_record(
    session: str = "s",
    tenant: str = TENANT,
    incarnation: str = "i1",
    version: int = 0,
    tokens: int = 0,
) -> SessionRecord:
    return SessionRecord(
        tenant=tenant,
        id=session,
        incarnation=incarnation,
        model="fake",
        fingerprint="f" * 64,
        status="open",
        version=version,
        next_seq=version,
        tokens=tokens,
        created_at=1.5,
        updated_at=2.5 + version,
        metadata='{"title":"ü"}',
        state_bytes=100 * version,
    )


def make_chunk(seq: int, text: str = "text") -> ChunkRecord:
    digest = hashlib.sha256(text.encode()).digest()
    return ChunkRecord(seq, digest, f"vector {seq} {text}".encode(), 3, 3 * seq)


def make_commit(
    record: SessionRecord,
    text: str = "text",
    key: str | None = None,
    forget_before: int = 0,
    snapshots: int = 0,
) -> Commit:
    """Return the commit that brings a session from `record` one chunk further."""
    following = next_record(record, 3, 99, record.updated_at + 1, forget_before)
    return Commit(
        expected_version=record.version,
        record=following,
        state=f"state {following.version} {text}".encode(),
        chunk=make_chunk(record.next_seq, text),
        key=None if key is None else KeyRecord(key, b"d" * 32, record.next_seq),
        snapshots=snapshots,
    )


async def create(store: SessionStore, record: SessionRecord, state: bytes) -> bool:
    """Begin a session that comes with nothing; return whether its id was free."""
    outcome = await store.begin(Beginning(record, state))
    assert outcome in {"begun", "id_taken"}
    return outcome == "begun"


async def grown(
    store: SessionStore, record: SessionRecord, steps: int, key: str | None = None
) -> SessionRecord:
    """Create a session and append `steps` chunks."""
    assert await create(store, record, b"begin")
    for _ in range(steps):
        commit = make_commit(record, key=key)
        assert await store.commit(commit)
        record = commit.record
    return record
