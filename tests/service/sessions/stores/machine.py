"""A machine of random operations: every store must answer as the others do, and all as a model of a few lines says."""

import asyncio
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import redis
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from service.errors import Conflict
from service.sessions import changes, protocol
from service.sessions.lifetimes import is_forgotten
from service.sessions.origins import Beginning
from service.sessions.records import SessionRecord
from service.sessions.stores import open_store
from service.sessions.sweeping import Sweeper
from tests.service.sessions.made import make_commit, make_record
from tests.service.sessions.stores.told import Told, answer_of
from tests.service.sessions.watching import Clock, Heard

TENANTS = ("tenant-a", "tenant/b}")
NAMES = ("a", "B")
TEXTS = ("", "x", "y")
KEYS = ("k1", "k2")

tenants = st.sampled_from(TENANTS)
names = st.sampled_from(NAMES)
texts = st.sampled_from(TEXTS)
incarnations = st.sampled_from(["i1", "i2"])
small = st.integers(0, 4)


class Agreement(RuleBasedStateMachine):
    """Stores side by side, driven through one event loop under one clock."""

    specs: ClassVar[tuple[str, ...]] = ("memory", "sqlite")
    decide: ClassVar[Callable[..., Any]] = staticmethod(protocol.decide)
    steps: ClassVar[int] = 0

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="longstream-agreement-"))
        self.runner = asyncio.Runner()
        self.clock = Clock(1000.0)
        self.told: dict[tuple[str, str], Told] = {}
        for spec in self.specs:
            if spec.startswith("redis"):
                with redis.Redis.from_url(spec) as client:
                    client.flushall()
        self.stores = [open_store(spec, self.folder) for spec in self.specs]
        for store in self.stores:
            self.runner.run(store.__aenter__())

    def teardown(self) -> None:
        try:
            for tenant in TENANTS:
                self.all("list", tenant, None, 99)
                for name in NAMES:
                    self.check(tenant, name)
        finally:
            for store in self.stores:
                self.runner.run(store.__aexit__(None, None, None))
            self.runner.close()
            shutil.rmtree(self.folder)

    def all(self, method: str, *args: Any, **options: Any) -> Any:
        """Ask every store and return what they agree on."""
        answers = [
            self.runner.run(getattr(store, method)(*args, **options)) for store in self.stores
        ]
        assert all(answer == answers[0] for answer in answers), (method, args, options, answers)
        return answers[0]

    def stored(self, tenant: str, name: str) -> SessionRecord:
        type(self).steps += 1
        record: SessionRecord | None = self.all("get", tenant, name)
        return make_record(name, tenant) if record is None else record

    def check(self, tenant: str, name: str) -> None:
        """See that all of a session is the same everywhere, and as it was told."""
        owned = [told for (owner, _), told in self.told.items() if owner == tenant]
        still_open = sum(told.code(self.clock.now) == "open" for told in owned)
        assert self.all("count", tenant, self.clock.now) == still_open
        row = self.all("get_with_state", tenant, name)
        record = row and row[0]
        assert self.all("get", tenant, name) == record
        told = self.told.get((tenant, name))
        code = "session_not_found" if told is None else told.code(self.clock.now)
        assert answer_of(record, name, self.clock.now) == code
        chunks = self.all("chunks", tenant, name, 0, 99)
        if told is not None and code == "open":
            kept = [protocol.chunk_digest(text) for text in told.log[record.kept_from :]]
            assert [chunk.digest for chunk in chunks] == kept
        for key in KEYS:
            self.all("key", tenant, name, key)

    @rule(
        tenant=tenants,
        name=names,
        incarnation=incarnations,
        ttl=st.none() | st.integers(1, 20),
        age=st.none() | st.integers(1, 40),
        remembered=st.integers(0, 20),
    )
    def create(self, tenant, name, incarnation, ttl, age, remembered):
        before, now = self.stored(tenant, name), self.clock.now
        if is_forgotten(before, now):
            self.all("forget", before)
        ends = None if age is None else now + age
        record = replace(
            make_record(name, tenant, incarnation),
            created_at=now,
            updated_at=now,
            ttl_seconds=ttl,
            ends_at=ends,
            tombstone_seconds=float(remembered),
        )
        told = self.told.get((tenant, name))
        free = told is None or told.code(now) == "session_not_found"
        assert (self.all("begin", Beginning(record, b"begin")) == "begun") == free
        if free:
            self.told[tenant, name] = Told("open", [], now, ttl, ends, remembered)
        self.check(tenant, name)

    @rule(
        tenant=tenants,
        name=names,
        chunks=st.lists(texts, min_size=1, max_size=3),
        back=st.integers(-1, 3),
        key=st.booleans(),
        forget=small,
    )
    def append(self, tenant, name, chunks, back, key, forget):
        """Send a request of some chunks, as a client does that may have sent it before."""
        told = self.told.get((tenant, name))
        if told is None or told.code(self.clock.now) == "session_not_found":
            self.create(tenant, name, "i1", None, None, 5)
        if self.told[tenant, name].code(self.clock.now) != "open":
            return
        first = max(0, self.stored(tenant, name).next_seq - back)
        for seq, text in enumerate(chunks, first):
            if not self.read(tenant, name, seq, text, KEYS[0] if key else None, forget):
                break
        self.check(tenant, name)

    def read(self, tenant, name, seq, text, key, forget) -> bool:
        """Do with the protocol's decision what a replica does, and compare with what the client was told."""
        record, told = self.stored(tenant, name), self.told[tenant, name]
        kept = {chunk.seq: chunk for chunk in self.all("chunks", tenant, name, seq, 1)}.get(seq)
        replayed = record.kept_from <= seq < len(told.log) and told.log[seq] == text
        try:
            decision = self.decide(record, kept, seq, protocol.chunk_digest(text))
        except Conflict:
            assert not replayed
            assert record.completed or seq != len(told.log)
            return False
        assert isinstance(decision, protocol.Replay) == replayed
        if isinstance(decision, protocol.Apply):
            assert seq == len(told.log)
            assert not record.completed
            commit = make_commit(record, text, key, snapshots=self.snapshots_at(seq + 1))
            following = replace(
                commit.record,
                updated_at=self.clock.now,
                kept_from=max(record.kept_from, min(forget, record.next_seq)),
            )
            assert self.all("commit", replace(commit, record=following)) is True
            told.log.append(text)
            told.last = self.clock.now
        return True

    def snapshots_at(self, next_seq: int) -> int:
        """Return how many snapshots to keep once that after `next_seq` chunks is one; 0 keeps none."""
        return 0

    @rule(tenant=tenants, name=names, back=st.integers(-2, 2), incarnation=incarnations)
    def commit_out_of_turn(self, tenant, name, back, incarnation):
        record = self.stored(tenant, name)
        version = max(0, record.version + back)
        same = (version, incarnation) == (record.version, record.incarnation)
        stale = replace(
            record, version=version, next_seq=version, kept_from=0, incarnation=incarnation
        )
        if not same:
            assert self.all("commit", make_commit(stale, "late", KEYS[1], snapshots=1)) is False
        self.check(tenant, name)

    @rule(tenant=tenants, name=names, back=st.integers(-1, 1), incarnation=incarnations)
    def complete(self, tenant, name, back, incarnation):
        record = self.stored(tenant, name)
        if self.told.get((tenant, name), Told("none")).code(self.clock.now) != "open":
            return
        done = replace(changes.completed_record(record, self.clock.now), incarnation=incarnation)
        if self.all("complete", done, record.version + back):
            assert (back, record.incarnation) == (0, incarnation)
            self.told[tenant, name].last = self.clock.now
        self.check(tenant, name)

    @rule(
        tenant=tenants,
        name=names,
        status=st.sampled_from(["deleted", "lost", "expired"]),
        version=st.none() | small,
        incarnation=incarnations,
    )
    def bury(self, tenant, name, status, version, incarnation):
        record, now = self.stored(tenant, name), self.clock.now
        told = self.told.get((tenant, name))
        right = "session_expired" if status == "expired" else "open"
        if told is None or told.code(now) not in {right, "session_lost"}:
            return
        if told.status == "lost" and status == "expired":
            return
        grave = changes.tombstone(replace(record, incarnation=incarnation), status, now)
        if self.all("bury", grave, expected_version=version):
            assert record.incarnation == incarnation
            assert version in {None, record.version}
            assert told.status == "open" or (told.status, status) == ("lost", "deleted")
            told.status = status
            told.last = told.last if status == "expired" else now
        self.check(tenant, name)

    @rule(tenant=tenants, name=names)
    def quarantine_what_verifies(self, tenant, name):
        record = self.stored(tenant, name)
        assert self.all("quarantine", changes.lost_record(tenant, name, "i9", 1.0)) is False
        assert self.stored(tenant, name) == record

    @rule(tenant=tenants, name=names, first=small, limit=small)
    def chunks(self, tenant, name, first, limit):
        type(self).steps += 1
        self.all("chunks", tenant, name, first, limit)

    @rule(tenant=tenants, after=st.none() | names, limit=small)
    def list(self, tenant, after, limit):
        type(self).steps += 1
        self.all("list", tenant, after, limit)

    @rule(seconds=st.sampled_from([0.5, 1.0, 7.0, 30.0]))
    def wait(self, seconds):
        self.clock.now += seconds

    @rule()
    def sweep(self):
        """What is swept was over before, and all stores sweep the same."""
        type(self).steps += 1
        found = [self.runner.run(store.due(self.clock.now, 99)) for store in self.stores]
        assert all(sorted(names) == sorted(found[0]) for names in found), found
        heard = []
        for store in self.stores:
            heard.append(Heard())
            self.runner.run(Sweeper(store, heard[-1], self.clock).sweep())
        assert all(one.events == heard[0].events for one in heard)
        for name in [
            key
            for key, told in self.told.items()
            if told.code(self.clock.now) == "session_not_found"
        ]:
            assert self.all("get", *name) is None
            del self.told[name]

    @rule()
    def reopen(self):
        for at, spec in enumerate(self.specs):
            if spec != "memory":
                self.runner.run(self.stores[at].__aexit__(None, None, None))
                self.stores[at] = open_store(spec, self.folder)
                self.runner.run(self.stores[at].__aenter__())
