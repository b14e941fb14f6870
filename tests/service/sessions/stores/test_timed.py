import pytest

from service.errors import Unavailable
from service.metrics import EncoderMetrics
from service.sessions.origins import Beginning
from service.sessions.records import ChunkRecord, SessionRecord
from service.sessions.stores.base import Commit, SessionStore
from service.sessions.stores.memory import MemoryStore
from service.sessions.stores.timed import TimedStore

RECORD = SessionRecord("t", "s", "i", "m", "f", "open", 0, 0, 0, 1.0, 1.0, "{}", 0)
NEXT = SessionRecord("t", "s", "i", "m", "f", "open", 1, 1, 2, 1.0, 2.0, "{}", 0)
DONE = SessionRecord("t", "s", "i", "m", "f", "open", 2, 1, 2, 1.0, 3.0, "{}", 0, completed=True)
GRAVE = SessionRecord("t", "s", "i", "m", "f", "deleted", 3, 1, 2, 1.0, 2.0, "{}", 0)
CHUNK = ChunkRecord(0, b"d" * 32, b"e" * 4, 2, 0)


def _count(metrics: EncoderMetrics, name: str, operation: str) -> float:
    prefix = f'longstream_{name}{{backend="memory",op="{operation}"}} '
    lines = metrics.exposition().decode().splitlines()
    (value,) = [line.removeprefix(prefix) for line in lines if line.startswith(prefix)]
    return float(value)


async def test_every_operation_is_passed_on_and_timed():
    metrics = EncoderMetrics("m", "memory")
    store: SessionStore = TimedStore(MemoryStore(), metrics)
    async with store as opened:
        assert opened is store
        assert await store.begin(Beginning(RECORD, b"state")) == "begun"
        assert await store.get("t", "s") == RECORD
        assert await store.get_with_state("t", "s") == (RECORD, b"state")
        assert await store.commit(Commit(0, NEXT, b"later", CHUNK)) is True
        assert await store.chunks("t", "s", 0, 10) == [CHUNK]
        assert await store.key("t", "s", "k") is None
        assert await store.list("t", None, 10) == [NEXT]
        assert await store.complete(DONE, expected_version=7) is False
        assert await store.complete(DONE, expected_version=1) is True
        assert await store.count("t", 1e9) == 1
        await store.ping()
        assert await store.begin(Beginning(RECORD, b"state")) == "id_taken"
        assert await store.request("t", "k") is None
        assert await store.traits("t", ["s"]) == {}
        assert await store.snapshots("t", "s") == []
        assert await store.snapshot("t", "s", 1) is None
        assert await store.bury(GRAVE, expected_version=7) is False
        assert await store.bury(GRAVE) is True
        assert await store.due(1e9, 9) == [("t", "s")]
        assert await store.quarantine(GRAVE) is False
        assert await store.forget(GRAVE) is True
    counts = {"begin": 2, "complete": 2, "bury": 2}
    for operation in (
        "get", "get_with_state", "commit", "complete", "chunks", "key", "bury", "list", "ping",
        "begin", "request", "traits", "snapshots", "snapshot",
        "quarantine", "due", "forget", "count",
    ):  # fmt: skip
        count = _count(metrics, "store_operation_duration_seconds_count", operation)
        assert count == counts.get(operation, 1), operation
        assert _count(metrics, "store_errors_total", operation) == 0


async def test_what_raises_is_counted_and_raised(monkeypatch):
    metrics = EncoderMetrics("m", "memory")
    inner = MemoryStore()

    async def down() -> None:
        raise Unavailable("store_unavailable", "down")

    monkeypatch.setattr(inner, "ping", down)
    with pytest.raises(Unavailable):
        await TimedStore(inner, metrics).ping()
    assert _count(metrics, "store_errors_total", "ping") == 1
    assert _count(metrics, "store_operation_duration_seconds_count", "ping") == 1
