"""A session as of one moment, to be read: nothing here locks it, and an append may follow at once."""

import time
from dataclasses import dataclass

from service.errors import Conflict
from service.sessions.append_tools import AppendTools
from service.sessions.protocol import require_model
from service.sessions.records import SessionRecord
from service.sessions.recovery import Expected, known
from service.sessions.state import SessionState


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A session and what it has read.

    Attributes:
        record: The session.
        state: Exactly the state that the record describes.
        persist_s: Seconds spent in the store.
    """

    record: SessionRecord
    state: SessionState
    persist_s: float


async def snapshot(tools: AppendTools, tenant: str, session_id: str) -> Snapshot:
    """Return a session and its state as of one moment, from the hot states if it is there.

    Raises:
        NotFound: `session_not_found`.
        Gone: `session_deleted`, `session_expired`; `session_lost` also if the state does not verify.
        Conflict: `model_changed`, or `request_in_progress` if it changes faster than it can be judged.
        Unavailable: `store_unavailable`.
    """
    began = time.perf_counter()
    record = await current(tools, tenant, session_id)
    state = tools.hot.get(record)
    if state is None:
        empty = tools.reader.empty()
        expected = Expected(tools.info.fingerprint, empty.shapes)
        record, arrays = await tools.recovery.load(tenant, session_id, expected)
        # It may be another session by now, which another model began.
        _require_own(tools, record)
        state = SessionState.from_arrays(arrays, empty)
        tools.hot.put(record, state)
        if record.next_seq > 0:
            tools.observer.event("recover")
    return Snapshot(record, state, time.perf_counter() - began)


async def current(tools: AppendTools, tenant: str, session_id: str) -> SessionRecord:
    """Return the record of an open session that this model began.

    Raises:
        NotFound, Gone: As `known`.
        Conflict: `model_changed`.
    """
    record = known(await tools.store.get(tenant, session_id), session_id, tools.clock())
    _require_own(tools, record)
    return record


def _require_own(tools: AppendTools, record: SessionRecord) -> None:
    try:
        require_model(record, tools.info.fingerprint)
    except Conflict:
        tools.observer.event("conflict")
        raise
