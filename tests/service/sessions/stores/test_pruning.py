"""The keys of requests that began sessions go with the tombstones, row by row: a sweep leaves nothing of them."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from service.sessions.origins import Beginning, RequestRecord
from service.sessions.stores import RedisStore, SessionStore, SqliteStore
from service.sessions.stores.redis_rows import requests_key
from service.sessions.stores.sqlite_file import connect
from service.sessions.sweeping import Sweeper
from tests.service.sessions.made import TENANT, make_record
from tests.service.sessions.watching import Clock, Heard

MANY = 20
EXPIRED = 12.5


@pytest.fixture(params=["sqlite", "redis"])
def place(request, tmp_path: Path) -> tuple[SessionStore, Callable[[], int]]:
    """A store, and how to count what it keeps of requests' keys."""
    if request.param == "sqlite":
        path = tmp_path / "s.db"

        def rows() -> int:
            with closing(connect(path)) as database:
                return int(database.execute("SELECT count(*) FROM requests").fetchone()[0])

        return SqliteStore(path), rows
    url, server = request.getfixturevalue("redis_url"), request.getfixturevalue("redis_server")

    def fields() -> int:
        with server.client() as client:
            return int(client.hlen(requests_key(TENANT)))

    return RedisStore(url), fields


async def test_a_sweep_leaves_no_key_of_a_request_whose_session_is_forgotten(place):
    store, kept = place
    async with store:
        for number in range(MANY):
            record = replace(
                make_record(f"s{number}"),
                ttl_seconds=EXPIRED - make_record().updated_at,
                tombstone_seconds=float(5 + number % 2),
            )
            request = RequestRecord(f"k{number}", b"r" * 32, record.id)
            assert await store.begin(Beginning(record, b"state", request=request)) == "begun"
        assert kept() == 2 * MANY  # each stands under two names
        clock = Clock(EXPIRED)
        for now, left in ((EXPIRED, MANY), (EXPIRED + 5, MANY // 2), (EXPIRED + 6, 0)):
            clock.now = now
            await Sweeper(store, Heard(), clock).sweep()
            assert kept() == 2 * left
