"""Histories of two owners: right as the service is, and found out where a rule of it is broken."""

from dataclasses import replace

import pytest

from service.sessions import hot, protocol, state
from service.sessions.protocol import Apply, Replay, decide, first_seq
from service.sessions.stores import STORES, Commit, MemoryStore
from tests.chaos.histories import CLIENTS, SESSIONS, Tally, record

EACH = 25
GROUP = SESSIONS * (CLIENTS * EACH + 1)


async def found(folder, seed: int = 3) -> tuple[Tally, set[str]]:
    tally = await record("memory", folder, GROUP, seed, each=EACH)
    return tally, {violation.rule for violation in tally.violations}


@pytest.mark.parametrize("seed", [1, 2])
async def test_two_owners_make_one_chain_whatever_happens(tmp_path, seed):
    tally, rules = await found(tmp_path, seed)
    assert rules == set(), tally.violations[:5]
    assert tally.operations == GROUP
    # They did race, were interrupted, and repeated themselves.
    assert tally.lost_races > 20
    assert tally.attempts > tally.operations
    assert min(tally.outcomes[kind] for kind in ("append ok", "repeat ok", "clash refused")) > 20


async def test_so_they_do_in_a_file(tmp_path):
    tally = await record("sqlite", tmp_path, 1, 4, each=10)
    assert tally.violations == []


async def test_and_in_redis(tmp_path, redis_server):
    tally = await record(redis_server.url, tmp_path, 1, 5, each=10)
    assert tally.violations == []


async def test_a_seed_gives_the_same_history_again(tmp_path):
    (first, _), (second, _) = await found(tmp_path), await found(tmp_path)
    assert first.report() == second.report()


async def test_a_replay_whatever_the_text_is_found(tmp_path, monkeypatch):
    def careless(record, kept, seq, digest, if_match=None):
        return decide(record, kept, seq, digest, if_match) if kept is None else Replay(kept)

    monkeypatch.setattr(protocol, "decide", careless)
    assert {"clash", "lost"} <= (await found(tmp_path))[1]


async def test_a_retry_that_is_done_again_is_found(tmp_path, monkeypatch):
    def forgetful(record, provided, key, digest):
        return first_seq(record, provided, None, digest)

    monkeypatch.setattr(protocol, "first_seq", forgetful)
    assert {"twice", "repeat"} <= (await found(tmp_path))[1]


async def test_a_replay_that_is_refused_is_found(tmp_path, monkeypatch):
    def stubborn(record, kept, seq, digest, if_match=None):
        return decide(record, None, seq, digest, if_match)

    monkeypatch.setattr(protocol, "decide", stubborn)
    assert "refusal" in (await found(tmp_path))[1]


async def test_a_chunk_under_any_number_is_found(tmp_path, monkeypatch):
    def generous(record, kept, seq, digest, if_match=None):
        decision = Replay(kept) if kept is not None and kept.digest == digest else Apply(seq)
        return decision if seq < record.next_seq else decide(record, kept, seq, digest, if_match)

    monkeypatch.setattr(protocol, "decide", generous)
    assert (await found(tmp_path))[1]


async def test_a_store_that_does_not_compare_is_found(tmp_path, monkeypatch):
    class Blind(MemoryStore):
        async def commit(self, commit: Commit) -> bool:
            current = await self.get(commit.record.tenant, commit.record.id)
            assert current is not None
            record = replace(commit.record, version=current.version + 1)
            late = replace(commit, expected_version=current.version, record=record)
            return await super().commit(late)

    monkeypatch.setitem(STORES, "memory", lambda *_args, **_options: Blind())
    assert {"lost", "fold"} & (await found(tmp_path))[1]


async def test_a_hot_state_of_another_version_is_found(tmp_path, monkeypatch):
    def stale(self, record):
        entry = self._entries.get((record.tenant, record.id))
        return None if entry is None else entry.state

    monkeypatch.setattr(hot.HotStates, "get", stale)
    assert "fold" in (await found(tmp_path))[1]


async def test_a_document_that_forgets_a_chunk_is_found(tmp_path, monkeypatch):
    after = state.SessionState.after

    def forgetful(self, reading):
        whole = after(self, reading)
        return replace(whole, document=self.document) if whole.tokens % 7 == 0 else whole

    monkeypatch.setattr(state.SessionState, "after", forgetful)
    assert "fold" in (await found(tmp_path))[1]
