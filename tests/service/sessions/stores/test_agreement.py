"""The same random operations on every backend must get the same answers, and those the model gives."""

import pytest

from service.errors import Conflict
from service.sessions import protocol
from tests.service.sessions.stores.agreement import machine_over, run_machine
from tests.service.sessions.stores.machine_origins import FullAgreement


def test_memory_and_sqlite_agree():
    run_machine(FullAgreement, examples=15, steps=30)


def test_memory_and_sqlite_agree_where_a_past_is_copied_in_pieces(monkeypatch):
    monkeypatch.setattr("service.sessions.stores.sqlite_drafts.PIECE", 1)
    run_machine(FullAgreement, examples=8, steps=30)


def test_memory_and_redis_agree(redis_server):
    run_machine(machine_over("memory", redis_server.url), examples=15, steps=30)


def order_first(record, kept, seq, digest, if_match=None):
    """The replay rule, broken: what is out of order is refused before anybody looks whether it is a replay."""
    if seq != record.next_seq:
        raise Conflict("sequence_conflict", "out of order")
    return protocol.decide(record, kept, seq, digest, if_match)


def any_text(record, kept, seq, digest, if_match=None):
    """The replay rule, broken: a known number is a replay whatever its text."""
    if kept is not None:
        return protocol.Replay(kept)
    return protocol.decide(record, kept, seq, digest, if_match)


def apply_again(record, kept, seq, digest, if_match=None):
    """The replay rule, broken: a chunk that was read is read once more, under the next number."""
    if seq < record.next_seq:
        return protocol.Apply(record.next_seq)
    return protocol.decide(record, kept, seq, digest, if_match)


@pytest.mark.parametrize("broken", [order_first, any_text, apply_again])
def test_the_machine_finds_a_broken_replay_rule(broken):
    machine = machine_over("memory", decide=staticmethod(broken))
    with pytest.raises(AssertionError):
        run_machine(machine, examples=600, steps=30, shrink=False)


def test_the_machine_finds_a_store_that_forgets_the_condition(monkeypatch):
    """A commit that any version will do for is a lost update."""
    from service.sessions.stores.memory import MemoryStore  # noqa: PLC0415 - what is broken here

    sound = MemoryStore._open

    def careless(self, record, version, also="open"):
        return sound(self, record, None, also)

    monkeypatch.setattr(MemoryStore, "_open", careless)
    with pytest.raises((AssertionError, ExceptionGroup)):
        run_machine(machine_over("memory", "sqlite"), examples=200, steps=30, shrink=False)
