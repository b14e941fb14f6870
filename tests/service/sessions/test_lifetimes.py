"""When a session is over and when it is forgotten; every answer depends on the record and on the time asked for."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.errors import Gone, NotFound, Unprocessable
from service.sessions.changes import completed_record, next_record, tombstone
from service.sessions.lifetimes import FOREVER, Lifetimes, is_expired, is_forgotten
from service.sessions.protocol import require_open
from service.sessions.recovery import known
from tests.service.sessions.made import make_record

RECORD = replace(make_record(), created_at=100.0, updated_at=100.0)
MORTAL = replace(RECORD, ttl_seconds=10.0, tombstone_seconds=50.0)


def test_without_a_time_to_live_a_session_lives_for_ever():
    record = FOREVER.begin(RECORD, None)
    assert (record.expires_at, record.forget_at, record.due_at) == (None, None, None)
    assert not is_expired(record, 1e12)
    require_open(record, 1e12)


def test_the_client_goes_before_the_default_and_the_operator_before_both():
    policy = Lifetimes(ttl_seconds=10.0, max_age_seconds=60.0, tombstone_seconds=7.0)
    assert policy.begin(RECORD, None).expires_at == 110.0
    assert policy.begin(RECORD, 30).expires_at == 130.0
    assert policy.begin(RECORD, 60).tombstone_seconds == 7.0
    with pytest.raises(Unprocessable, match="longer than 60 seconds") as caught:
        policy.begin(RECORD, 61)
    assert (caught.value.code, caught.value.param) == ("validation_error", "ttl_seconds")
    assert caught.value.extras == {"max_ttl_seconds": 60.0}


def test_a_fork_is_given_its_parents_life_but_begins_it_anew():
    policy = Lifetimes(ttl_seconds=10.0, max_age_seconds=60.0)
    parent = replace(MORTAL, ttl_seconds=500.0, ends_at=110.0)
    fork = policy.begin(RECORD, None, parent)
    assert (fork.ttl_seconds, fork.ends_at, fork.expires_at) == (500.0, 160.0, 160.0)
    assert policy.begin(RECORD, None, replace(parent, ttl_seconds=None)).ttl_seconds is None
    assert policy.begin(RECORD, 5, parent).ttl_seconds == 5


def test_every_commit_and_the_completion_extend_it_up_to_its_greatest_age():
    record = Lifetimes(max_age_seconds=25.0).begin(RECORD, 10)
    for now, expires_at in ((109.0, 119.0), (118.0, 125.0), (124.0, 125.0)):
        record = next_record(record, 1, 1, now)
        assert record.expires_at == expires_at
    assert completed_record(replace(MORTAL, updated_at=105.0), 108.0).expires_at == 118.0


def test_it_expires_on_the_dot_whether_it_was_swept_or_not():
    swept = tombstone(MORTAL, "expired", 111.0)
    require_open(MORTAL, 109.999)
    for record in (MORTAL, swept):
        with pytest.raises(Gone) as caught:
            known(record, "s", 110.0)
        assert caught.value.code == "session_expired"
        assert is_expired(record, 110.0)
        with pytest.raises(Gone):
            known(record, "s", 159.999)
        with pytest.raises(NotFound) as missing:
            known(record, "s", 160.0)
        assert missing.value.code == "session_not_found"
        assert is_forgotten(record, 160.0)


def test_a_deleted_session_is_remembered_from_its_deletion_on():
    grave = tombstone(MORTAL, "deleted", 105.0)
    assert not is_expired(grave, 111.0)
    with pytest.raises(Gone) as caught:
        known(grave, "s", 154.999)
    assert caught.value.code == "session_deleted"
    with pytest.raises(NotFound):
        known(grave, "s", 155.0)
    assert tombstone(RECORD, "deleted", 105.0).forget_at == 105.0 + 86_400


def test_a_lost_session_waits_to_be_deleted_unless_it_was_to_expire():
    assert tombstone(RECORD, "lost", 105.0).due_at is None
    grave = tombstone(MORTAL, "lost", 105.0)
    assert not is_expired(grave, 1e9)
    assert grave.due_at == grave.forget_at == 105.0 + 10.0 + 50.0


def test_a_sweep_has_something_to_do_at_the_end_and_when_it_is_forgotten():
    assert MORTAL.due_at == 110.0
    assert tombstone(MORTAL, "expired", 130.0).due_at == 160.0
    assert tombstone(MORTAL, "deleted", 105.0).due_at == 155.0


@settings(deadline=None)
@given(
    ttl=st.none() | st.floats(1, 1e6),
    age=st.none() | st.floats(1, 1e6),
    steps=st.lists(st.floats(0.001, 1e5), max_size=8),
    later=st.floats(0, 1e7),
)
def test_time_only_goes_one_way(ttl, age, steps, later):
    """Once it is over it stays over, and it is over before it is forgotten."""
    record = replace(RECORD, ttl_seconds=ttl, ends_at=None if age is None else 100.0 + age)
    now = 100.0
    for step in steps:
        now += step
        if is_expired(record, now):
            break
        record = next_record(record, 1, 1, now)
    if is_expired(record, now):
        assert is_expired(record, now + later)
    if is_forgotten(record, now + later):
        assert is_expired(record, now + later)
    assert (record.expires_at is None) == (ttl is None and age is None)
