import hashlib
from dataclasses import replace

import pytest

from service.errors import Conflict, Gone, PreconditionFailed, ServiceError, Unprocessable
from service.sessions import changes, protocol
from service.sessions.protocol import Apply, Replay, decide
from service.sessions.records import ChunkRecord, KeyRecord
from tests.service.sessions.fakes import make_chunk, make_record

RECORD = make_record(version=5, tokens=15)
SAME = make_chunk(3).digest
OTHER = make_chunk(3, "other").digest


def refused(
    error_type: type[ServiceError],
    seq: int,
    kept: ChunkRecord | None = None,
    digest: bytes = SAME,
    if_match: tuple[str, ...] | None = None,
) -> ServiceError:
    with pytest.raises(error_type) as caught:
        decide(RECORD, kept, seq, digest, if_match)
    return caught.value


def test_the_next_chunk_is_applied():
    assert decide(RECORD, None, 5, SAME) == Apply(5)


def test_a_known_chunk_is_replayed_although_it_is_out_of_order():
    assert decide(RECORD, make_chunk(3), 3, SAME) == Replay(make_chunk(3))


def test_other_content_under_a_known_number_conflicts():
    error = refused(Conflict, 3, make_chunk(3), OTHER)
    assert error.code == "sequence_conflict"
    assert error.extras == {"expected_seq": 5, "provided_seq": 3}
    assert "other content" in error.detail


def test_a_gap_names_the_missing_chunks():
    error = refused(Conflict, 8)
    assert error.code == "sequence_conflict"
    assert error.extras == {"expected_seq": 5, "provided_seq": 8}
    assert "chunks 5 to 7 are missing" in error.detail


def test_a_forgotten_answer_is_said_to_be_no_longer_kept():
    error = refused(Conflict, 1)
    assert error.extras == {"expected_seq": 5, "provided_seq": 1}
    assert "no longer kept" in error.detail


@pytest.mark.parametrize(
    "if_match", [None, ("*",), (RECORD.etag,), ("i1.4", RECORD.etag), ("i1.4", "*")]
)
def test_a_condition_that_holds_changes_nothing(if_match):
    assert decide(RECORD, None, 5, SAME, if_match) == Apply(5)


@pytest.mark.parametrize("seq", [5, 8, 1])
def test_a_failed_condition_comes_before_the_order_and_tells_the_current_tag(seq):
    error = refused(PreconditionFailed, seq, if_match=("i1.4", "i1.50"))
    assert error.extras == {"etag": "i1.5"}
    assert "i1.4, i1.50" in error.detail


def test_an_empty_list_of_tags_matches_nothing():
    refused(PreconditionFailed, 5, if_match=())


def test_a_replay_is_answered_whatever_the_condition_says():
    assert isinstance(decide(RECORD, make_chunk(3), 3, SAME, ("i1.3",)), Replay)
    refused(PreconditionFailed, 3, make_chunk(3), OTHER, if_match=("i1.3",))


@pytest.mark.parametrize("status", ["deleted", "lost", "expired"])
def test_tombstones_are_gone(status):
    with pytest.raises(Gone) as caught:
        protocol.require_open(replace(RECORD, status=status), 9.0)
    assert caught.value.code == f"session_{status}"
    protocol.require_open(RECORD, 1e12)


def test_other_weights_conflict_and_both_fingerprints_are_told():
    protocol.require_model(RECORD, RECORD.fingerprint)
    with pytest.raises(Conflict) as caught:
        protocol.require_model(RECORD, "e" * 64)
    assert caught.value.code == "model_changed"
    assert caught.value.extras == {
        "stored_fingerprint": RECORD.fingerprint,
        "current_fingerprint": "e" * 64,
    }


def test_numbers_are_taken_given_or_assigned():
    assert protocol.first_seq(RECORD, None, None, b"d") == 5
    assert protocol.first_seq(RECORD, 2, None, b"d") == 2
    key = KeyRecord("k", b"d", 1)
    assert protocol.first_seq(RECORD, None, key, b"d") == 1
    assert protocol.first_seq(RECORD, 1, key, b"d") == 1


@pytest.mark.parametrize(("provided", "digest"), [(None, b"other"), (2, b"d"), (0, b"d")])
def test_a_key_stands_for_one_request(provided, digest):
    with pytest.raises(Unprocessable) as caught:
        protocol.first_seq(RECORD, provided, KeyRecord("k", b"d", 1), digest)
    assert caught.value.code == "idempotency_key_reused"


def test_digests():
    assert protocol.chunk_digest("ü") == hashlib.sha256("ü".encode()).digest()
    with pytest.raises(UnicodeEncodeError):
        protocol.chunk_digest("\ud800")
    one, two = protocol.chunk_digest("a"), protocol.chunk_digest("b")
    assert protocol.request_digest([one, two]) != protocol.request_digest([two, one])
    assert protocol.request_digest([one]) != one


COMPLETED = changes.completed_record(RECORD, 99.0)


@pytest.mark.parametrize("seq", [5, 8, 3, 1])
@pytest.mark.parametrize("if_match", [None, ("*",), (RECORD.etag,), (COMPLETED.etag,)])
def test_a_complete_document_takes_no_chunk_under_any_condition(seq, if_match):
    kept = make_chunk(3) if seq == 3 else None
    with pytest.raises(Conflict) as caught:
        decide(COMPLETED, kept, seq, OTHER, if_match)
    assert caught.value.code == "session_completed"
    assert "begin another session" in caught.value.detail


def test_a_complete_document_replays():
    assert decide(COMPLETED, make_chunk(3), 3, SAME) == Replay(make_chunk(3))
    protocol.require_incomplete(RECORD)


@pytest.mark.parametrize(
    ("kept", "seq", "digest", "said"),
    [
        (make_chunk(3), 3, OTHER, "other content"),
        (None, 3, SAME, "no longer kept"),
        (None, 5, SAME, "never read: the session has 5 chunks"),
        (None, 2**53 - 1, SAME, "never read"),
    ],
)
def test_what_was_not_read_under_a_number_conflicts(kept, seq, digest, said):
    protocol.require_read(RECORD, make_chunk(3), 3, SAME)
    with pytest.raises(Conflict, match=said) as caught:
        protocol.require_read(RECORD, kept, seq, digest)
    assert caught.value.code == "sequence_conflict"
    assert caught.value.extras == {"expected_seq": 5, "provided_seq": seq, "next_seq": 5}
