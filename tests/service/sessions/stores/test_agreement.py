"""The same random operations on every backend must get the same answers."""

import asyncio
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from service.sessions.origins import Beginning, RequestRecord, SessionTraits
from service.sessions.protocol import completed_record, tombstone
from service.sessions.records import SessionRecord
from service.sessions.stores import open_store
from tests.service.sessions.fakes import make_chunk, make_commit, make_record

TENANTS = ("tenant-a", "tenant-b")
NAMES = ("a", "b", "B")

tenants = st.sampled_from(TENANTS)
names = st.sampled_from(NAMES)
incarnations = st.sampled_from(["i1", "i2"])
keys = st.sampled_from([None, "k1", "k2"])
small = st.integers(0, 4)


class Agreement(RuleBasedStateMachine):
    """Memory store and SQLite store side by side, driven through one event loop."""

    def __init__(self):
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.runner = asyncio.Runner()
        self.stores = [open_store(spec, self.folder) for spec in ("memory", "sqlite")]
        self.records: dict[tuple[str, str], SessionRecord] = {}
        for store in self.stores:
            self.runner.run(store.__aenter__())

    def teardown(self):
        for store in self.stores:
            self.runner.run(store.__aexit__(None, None, None))
        self.runner.close()
        shutil.rmtree(self.folder)

    def both(self, method: str, *args: Any, **options: Any) -> Any:
        first, second = (
            self.runner.run(getattr(store, method)(*args, **options)) for store in self.stores
        )
        assert first == second, (method, args, options)
        return first

    def known(self, tenant: str, name: str) -> SessionRecord:
        return self.records.get((tenant, name), make_record(name, tenant))

    @rule(tenant=tenants, name=names, incarnation=incarnations, state=st.binary(max_size=9))
    def create(self, tenant, name, incarnation, state):
        record = make_record(name, tenant, incarnation)
        created = self.both("create", record, state)
        assert created == ((tenant, name) not in self.records)
        if created:
            self.records[tenant, name] = record

    @rule(
        tenant=tenants,
        name=names,
        parent=st.none() | names,
        key=keys,
        read=small,
        indexed=st.booleans(),
    )
    def begin(self, tenant, name, parent, key, read, indexed):
        source = None if parent is None else self.known(tenant, parent)
        record = replace(make_record(name, tenant, "i3"), next_seq=read)
        traits = SessionTraits(indexed, parent, None if parent is None else read)
        request = None if key is None else RequestRecord(key, b"r" * 32, name)
        chunks = tuple(make_chunk(seq, "came along") for seq in range(read)) if not parent else ()
        begun = Beginning(record, b"begun", traits, source, chunks, request)
        outcome = self.both("begin", begun)
        if outcome == "begun":
            assert (tenant, name) not in self.records
            assert parent is None or self.records[tenant, parent].status == "open"
            self.records[tenant, name] = record

    @rule(
        tenant=tenants,
        name=names,
        text=st.text(max_size=3),
        key=keys,
        forget=small,
        snapshots=small,
    )
    def commit(self, tenant, name, text, key, forget, snapshots):
        record = self.known(tenant, name)
        text = text.encode("ascii", "replace").decode()
        commit = make_commit(record, text, key, forget, snapshots)
        committed = self.both("commit", commit)
        assert committed == ((tenant, name) in self.records and record.status == "open")
        if committed:
            self.records[tenant, name] = commit.record

    @rule(tenant=tenants, name=names, back=st.integers(-2, 2), incarnation=incarnations)
    def commit_out_of_turn(self, tenant, name, back, incarnation):
        record = self.known(tenant, name)
        version = max(0, record.version + back)
        same = (version, incarnation) == (record.version, record.incarnation)
        stale = replace(record, version=version, next_seq=version, incarnation=incarnation)
        if not same:
            assert self.both("commit", make_commit(stale, "late", "k1", 9)) is False

    @rule(tenant=tenants, name=names, back=st.integers(-2, 2), incarnation=incarnations)
    def complete(self, tenant, name, back, incarnation):
        record = self.known(tenant, name)
        version = record.version + back
        done = replace(completed_record(record, 60.0), incarnation=incarnation)
        if self.both("complete", done, version):
            assert (back, record.incarnation, record.status) == (0, incarnation, "open")
            self.records[tenant, name] = done

    @rule(
        tenant=tenants,
        name=names,
        status=st.sampled_from(["deleted", "lost"]),
        version=st.none() | small,
        incarnation=incarnations,
    )
    def bury(self, tenant, name, status, version, incarnation):
        record = self.known(tenant, name)
        grave = tombstone(replace(record, incarnation=incarnation), status, 50.0)
        if self.both("bury", grave, expected_version=version):
            assert record.incarnation == incarnation
            assert version in {None, record.version}
            self.records[tenant, name] = grave

    @rule(tenant=tenants, name=names, first=small, limit=small)
    def chunks(self, tenant, name, first, limit):
        self.both("chunks", tenant, name, first, limit)

    @rule(tenant=tenants, after=st.none() | names, limit=small)
    def list(self, tenant, after, limit):
        self.both("list", tenant, after, limit)

    @rule()
    def reopen_the_file(self):
        self.runner.run(self.stores[1].__aexit__(None, None, None))
        self.stores[1] = open_store("sqlite", self.folder)
        self.runner.run(self.stores[1].__aenter__())

    @invariant()
    def stores_hold_the_same(self):
        for tenant in TENANTS:
            for name in NAMES:
                row = self.both("get_with_state", tenant, name)
                assert (row and row[0]) == self.records.get((tenant, name))
                assert self.both("get", tenant, name) == (row and row[0])
                self.both("chunks", tenant, name, 0, 99)
                for key in ("k1", "k2"):
                    self.both("key", tenant, name, key)
                for seq in (*self.both("snapshots", tenant, name), 99):
                    self.both("snapshot", tenant, name, seq)
            self.both("traits", tenant, (*NAMES, "other"))
            for key in ("k1", "k2"):
                self.both("request", tenant, key)


TestAgreement = Agreement.TestCase
TestAgreement.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)
