"""The machine of random operations, with all that sessions can begin with and all that is kept of their past."""

from dataclasses import replace

from hypothesis import strategies as st
from hypothesis.stateful import rule

from service.sessions.lifetimes import is_forgotten
from service.sessions.origins import Beginning, RequestRecord, SessionTraits
from service.sessions.records import SessionRecord
from tests.service.sessions.made import make_chunk, make_record
from tests.service.sessions.stores.machine import (
    NAMES,
    TENANTS,
    Agreement,
    incarnations,
    names,
    small,
    tenants,
)
from tests.service.sessions.stores.told import Told

REQUESTS = ("r1", "r2")
KEPT = 2
"""Snapshots of a session, of those after every second chunk."""

requests = st.sampled_from(REQUESTS)


class FullAgreement(Agreement):
    """Also forks, imports, requests that are sent again, and snapshots."""

    def snapshots_at(self, next_seq: int) -> int:
        return KEPT if next_seq % 2 == 0 else 0

    def check(self, tenant: str, name: str) -> None:
        super().check(tenant, name)
        record = self.all("get", tenant, name)
        kept = self.all("snapshots", tenant, name)
        for seq in (*kept, 99):
            assert (self.all("snapshot", tenant, name, seq) is None) == (seq == 99)
        traits = self.all("traits", tenant, [name, "never"])
        if record is None or record.status in {"deleted", "expired"}:
            assert (kept, traits) == ([], {})
        else:
            told = self.told[tenant, name]
            past = [seq for seq in range(told.begun + 1, len(told.log) + 1) if seq % 2 == 0]
            assert kept == past[-KEPT:]
            assert traits == ({} if told.traits == SessionTraits() else {name: told.traits})
        for request in REQUESTS:
            self.check_request(tenant, request)

    def check_request(self, tenant: str, request: str) -> None:
        """See that a key stands for the session it began, until that is forgotten."""
        found = self.all("request", tenant, request)
        holder = self.holder(tenant, request)
        if holder is None:
            assert found is None
        elif self.told[tenant, holder].code(self.clock.now) != "session_not_found":
            assert found == RequestRecord(request, b"r" * 32, holder)

    def holder(self, tenant: str, request: str | None) -> str | None:
        for name in NAMES:
            told = self.told.get((tenant, name))
            if told is not None and request is not None and told.request == request:
                return name
        return None

    def make_room(self, tenant: str, name: str | None) -> None:
        """Forget a session as the service does that comes across one whose time is over."""
        if name is None:
            return
        record = self.stored(tenant, name)
        if is_forgotten(record, self.clock.now) and self.all("forget", record):
            del self.told[tenant, name]

    @rule(
        tenant=tenants,
        name=names,
        parent=st.none() | names,
        incarnation=incarnations,
        at=small,
        indexed=st.booleans(),
        request=st.none() | requests,
        ttl=st.none() | st.integers(1, 20),
    )
    def begin(self, *, tenant, name, parent, incarnation, at, indexed, request, ttl):
        for taken in (name, self.holder(tenant, request)):
            self.make_room(tenant, taken)
        source = None if parent is None else self.stored(tenant, parent)
        there = parent is None or self.all("get", tenant, parent) is not None
        expected = "begun"
        if (tenant, name) in self.told:
            expected = "id_taken"
        if source is not None and not (there and source.status == "open"):
            expected = "source_gone"
        if self.holder(tenant, request) is not None:
            expected = "key_taken"
        beginning, told = self.beginning(
            replace(make_record(name, tenant, incarnation), ttl_seconds=ttl), source, at
        )
        told.traits = replace(beginning.traits, indexed=indexed)
        told.request = request
        if request is not None:
            beginning = replace(beginning, request=RequestRecord(request, b"r" * 32, name))
        assert self.all("begin", replace(beginning, traits=told.traits)) == expected
        if expected == "begun":
            self.told[tenant, name] = told
        self.check(tenant, name)

    def beginning(
        self, record: SessionRecord, source: SessionRecord | None, at: int
    ) -> tuple[Beginning, Told]:
        """Return a fork of a source, or what comes from a file, and what its client is told."""
        now = self.clock.now
        record = replace(record, created_at=now, updated_at=now, tombstone_seconds=5.0)
        told = Told("open", ["file"] * at, now, record.ttl_seconds, None, 5.0, begun=at)
        if source is None:
            record = replace(record, next_seq=at, kept_from=at // 2)
            chunks = tuple(make_chunk(seq, "file") for seq in range(at // 2, at))
            return Beginning(record, b"file", chunks=chunks), told
        parent = self.told.get((source.tenant, source.id))
        told.log = [] if parent is None else parent.log[:at]
        told.begun = len(told.log)
        record = replace(record, next_seq=told.begun)
        traits = SessionTraits(forked_from=source.id, forked_at=told.begun)
        return Beginning(record, b"fork", traits, source), told

    def teardown(self) -> None:
        try:
            for tenant in TENANTS:
                for request in REQUESTS:
                    self.check_request(tenant, request)
        finally:
            super().teardown()
