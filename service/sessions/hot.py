"""States of recently used sessions, bounded in bytes. Losing one costs a load and nothing else."""

from collections import OrderedDict
from dataclasses import dataclass

from service.failpoints import reach
from service.sessions.observer import SessionObserver, SilentObserver
from service.sessions.records import SessionRecord
from service.sessions.state import SessionState


@dataclass(frozen=True, slots=True)
class _Entry:
    incarnation: str
    version: int
    state: SessionState


class HotStates:
    """Least recently used cache of session states.

    Args:
        capacity_bytes: Most bytes of states to hold; 0 holds none.
        observer: Told of every eviction.
    """

    def __init__(self, capacity_bytes: int, observer: SessionObserver | None = None) -> None:
        self._capacity = capacity_bytes
        self._observer: SessionObserver = observer or SilentObserver()
        self._entries: OrderedDict[tuple[str, str], _Entry] = OrderedDict()
        self._nbytes = 0

    @property
    def nbytes(self) -> int:
        """Bytes of the states held."""
        return self._nbytes

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, record: SessionRecord) -> SessionState | None:
        """Return the state if it is exactly the one `record` describes; an outdated one is dropped."""
        key = (record.tenant, record.id)
        entry = self._entries.get(key)
        if entry is None:
            return None
        if (entry.incarnation, entry.version) != (record.incarnation, record.version):
            self.drop(*key)
            return None
        self._entries.move_to_end(key)
        return entry.state

    def put(self, record: SessionRecord, state: SessionState) -> None:
        """Hold the state that `record` describes; the least recently used make room for it."""
        key = (record.tenant, record.id)
        self.drop(*key)
        if state.nbytes > self._capacity:
            return
        self._entries[key] = _Entry(record.incarnation, record.version, state)
        self._nbytes += state.nbytes
        while self._nbytes > self._capacity:
            _, oldest = self._entries.popitem(last=False)
            self._nbytes -= oldest.state.nbytes
            self._observer.event("evict")
            reach("hot.evict")

    def drop(self, tenant: str, session_id: str) -> None:
        """Forget a session's state, if it is held."""
        entry = self._entries.pop((tenant, session_id), None)
        if entry is not None:
            self._nbytes -= entry.state.nbytes
