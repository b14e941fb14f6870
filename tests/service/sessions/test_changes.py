from dataclasses import replace

import pytest

from service.sessions import changes
from tests.service.sessions.made import make_record

RECORD = make_record(version=5, tokens=15)
COMPLETED = changes.completed_record(RECORD, 99.0)


def test_the_record_after_a_chunk():
    following = changes.next_record(RECORD, 7, 500, 99.0)
    assert following == replace(
        RECORD, version=6, next_seq=6, tokens=22, state_bytes=500, updated_at=99.0
    )
    assert following.etag != RECORD.etag


def test_what_was_deleted_keeps_the_name_and_no_content():
    grave = changes.tombstone(RECORD, "deleted", 99.0)
    assert (grave.status, grave.incarnation, grave.metadata) == ("deleted", "i1", "{}")
    assert grave.state_bytes == 0
    assert grave.etag != RECORD.etag


def test_an_expired_session_ended_when_it_did_not_when_that_was_found():
    mortal = replace(RECORD, ttl_seconds=10.0)
    grave = changes.tombstone(mortal, "expired", 99.0)
    assert (grave.status, grave.version, grave.metadata, grave.state_bytes) == (
        "expired",
        6,
        "{}",
        0,
    )
    assert (grave.expires_at, grave.forget_at) == (mortal.expires_at, mortal.forget_at)


def test_what_was_lost_keeps_everything():
    grave = changes.tombstone(RECORD, "lost", 99.0)
    assert grave == replace(RECORD, status="lost", version=6, updated_at=99.0)


@pytest.mark.parametrize(
    ("next_seq", "kept", "request_first", "expected"),
    [(10, None, 9, 0), (10, 4, 9, 6), (10, 4, 2, 2), (3, 4, 2, 0), (10, 1, 9, 9)],
)
def test_answers_of_the_running_request_are_never_forgotten(
    next_seq, kept, request_first, expected
):
    assert changes.forget_before(next_seq, kept, request_first) == expected


def test_completing_moves_the_version_and_nothing_else():
    assert replace(RECORD, completed=True, version=6, updated_at=99.0) == COMPLETED
    assert COMPLETED.etag != RECORD.etag
    assert not RECORD.completed
    assert changes.next_record(COMPLETED, 1, 1, 1.0).completed
