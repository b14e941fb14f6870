"""Sessions of a node, by the store that it opened itself."""

from models.memory import Memory
from service.encoder_node import EncoderNode
from service.ports import AppendCommand
from service.sessions.catalog import SessionCatalog
from service.sessions.snapshots import snapshot
from tests.service.sessions.begun import begin_session

TENANT = "public"


def catalog(node: EncoderNode) -> SessionCatalog:
    """Return the control plane over the node's store."""
    assert node._sessions is not None
    return SessionCatalog(node._sessions.appender.tools.store)


async def open_session(node: EncoderNode, *chunks: str) -> str:
    """Begin a session and read chunks into it."""
    record = await begin_session(catalog(node), TENANT, await node.info())
    if chunks:
        await node.append(AppendCommand(TENANT, record.id, chunks, 0))
    return record.id


async def memory_of(node: EncoderNode, session: str) -> Memory:
    """Return what a session remembers."""
    assert node._sessions is not None
    return (await snapshot(node._sessions.appender.tools, TENANT, session)).state.memory


async def stored(node: EncoderNode, session: str) -> bytes:
    """Return a session's state as the store has it."""
    assert node._sessions is not None
    row = await node._sessions.appender.tools.store.get_with_state(TENANT, session)
    assert row is not None
    return row[1]
