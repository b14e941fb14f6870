"""A second look: once a document is complete, its chunks meet the memory of all of it.

What comes late in a document says what an early chunk was about, and the chunk's first vector could not know. The texts
come from the client again, because a session keeps none; the digests of its chunks tell whether they are the same.
"""

import time
from collections.abc import Sequence

from service.errors import Conflict
from service.ports import RevisitCommand, RevisitedChunk, RevisitResult, StageTimes
from service.sessions.append_tools import AppendTools
from service.sessions.completion import Completion
from service.sessions.protocol import chunk_digests, require_read
from service.sessions.reading import SecondLook
from service.sessions.records import SessionRecord
from service.sessions.recovery import still_known
from service.sessions.snapshots import current, snapshot


class Revisits:
    """Looks at chunks of one model's sessions again.

    Args:
        tools: What to work with.
    """

    def __init__(self, tools: AppendTools) -> None:
        self._tools = tools
        self._completion = Completion(tools.store, tools.clock, tools.observer)

    async def revisit(self, command: RevisitCommand) -> RevisitResult:
        """Complete the session, if it is not, and encode the command's chunks against its memory.

        The texts are compared first: a chunk never changes once it was read, so what held before the completion holds
        after it, and a request that is refused completes nothing.

        Raises:
            BadRequest: `invalid_request`: text that is not Unicode.
            Conflict: `sequence_conflict`, `model_changed`, `request_in_progress`.
            NotFound, Gone, PreconditionFailed, Unavailable, OutOfStorage: As `service.ports.EncoderPort.revisit`.
        """
        digests = chunk_digests(command.chunks)
        began = time.perf_counter()
        record = await current(self._tools, command.tenant, command.session_id)
        await self._require_read(record, command.first_seq, digests)
        await self._completion.complete(command.tenant, command.session_id, command.if_match)
        persist_s = time.perf_counter() - began
        if not command.chunks:
            return RevisitResult((), 0, StageTimes(persist=persist_s))
        whole = await snapshot(self._tools, command.tenant, command.session_id)
        look = await self._tools.reader.look(command.chunks, whole.state.memory)
        return RevisitResult(
            chunks=_numbered(look, command.first_seq),
            read_tokens=look.read_tokens,
            times=look.times + StageTimes(persist=persist_s + whole.persist_s),
        )

    async def _require_read(
        self, record: SessionRecord, first_seq: int, digests: Sequence[bytes]
    ) -> None:
        """Refuse texts that are not what was read under these numbers."""
        stored = []
        if first_seq < record.next_seq:
            stored = await self._tools.store.chunks(
                record.tenant, record.id, first_seq, len(digests)
            )
        kept = {chunk.seq: chunk for chunk in stored}
        try:
            for seq, digest in enumerate(digests, first_seq):
                require_read(record, kept.get(seq), seq, digest)
        except Conflict:
            # The chunks may have gone with the session since the record was read.
            await still_known(self._tools.store, record, self._tools.clock())
            self._tools.observer.event("conflict")
            raise


def _numbered(look: SecondLook, first_seq: int) -> tuple[RevisitedChunk, ...]:
    rows = zip(look.embeddings, look.tokens, strict=True)
    return tuple(
        RevisitedChunk(seq, embedding, tokens)
        for seq, (embedding, tokens) in enumerate(rows, first_seq)
    )
