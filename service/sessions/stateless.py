"""Reading chunks into a state that somebody else keeps: values in, values out, nothing is stored."""

from typing import Final

from service.errors import InternalError, Unprocessable
from service.ports import ChunkAnswer, ModelInfo, ReadCommand, ReadResult, StageTimes
from service.sessions.codec import NO_MEMORY, CorruptState, UnsupportedState, decode, unread
from service.sessions.reading import ChunkReader
from service.sessions.refusals import model_changed
from service.sessions.state import SessionState

PROBE: Final = "A short text that shows whether a memory can be read."


class StatelessReader:
    """Reads documents of one model without a session.

    The same chunks give the same vectors as in a session, bit for bit, as far as their forward passes are the same.

    Args:
        reader: The model.
        info: What it is.
    """

    def __init__(self, reader: ChunkReader, info: ModelInfo) -> None:
        self._reader = reader
        self._info = info

    async def read(self, command: ReadCommand) -> ReadResult:
        """Read chunks in order; a call that fails or is cancelled has changed nothing.

        Raises:
            Conflict: `model_changed`, with both fingerprints.
            Unprocessable: `invalid_state`: the state is none of this model's.
            BadRequest: a text is not Unicode.
            Unavailable: `overloaded`, `draining`.
        """
        stored, current = command.fingerprint, self._info.fingerprint
        if stored is not None and stored != current:
            raise model_changed("this document", self._info.id, stored, current)
        state = self._state(command.state)
        times, read_tokens = StageTimes(), 0
        answers: list[ChunkAnswer] = []
        for seq, text in enumerate(command.chunks, command.next_seq):
            # Nothing of it is kept: refused in the middle, it would have been read for nothing.
            admitted = command.admitted or bool(answers)
            reading = await self._reader.read(text, state.memory, admitted=admitted)
            times += reading.times
            read_tokens += reading.read_tokens
            start, state = state.tokens, state.after(reading)
            answers.append(
                ChunkAnswer(
                    seq, reading.embedding, reading.tokens, token_start=start, replayed=False
                )
            )
        return ReadResult(
            answers=tuple(answers),
            next_seq=command.next_seq + len(answers),
            tokens=state.tokens,
            state=state.encode() if command.want_state else b"",
            document=state.vector,
            times=times,
            read_tokens=read_tokens,
        )

    async def verify(self, state: bytes) -> None:
        """Check that a state is one of this model's: its shape is, and a text can be read against it.

        Raises:
            Unprocessable: `invalid_state` says why not.
            Unavailable: `overloaded`, `draining`.
        """
        found = self._state(state)
        reading = await self._reader.read(PROBE, found.memory)
        try:
            found.after(reading)
        except InternalError as error:
            raise _invalid("a text cannot be read against it: numbers overflow") from error

    def _state(self, blob: bytes | None) -> SessionState:
        empty = self._reader.empty()
        if blob is None:
            return SessionState.from_arrays(unread(self._info.dimensions), empty)
        try:
            arrays = decode(blob)
        except (CorruptState, UnsupportedState) as error:
            raise _invalid(str(error)) from error
        if arrays.shape not in (NO_MEMORY, empty.shapes):
            raise _invalid(f"a memory of shape {arrays.shape} is not this model's")
        if arrays.document.shape != (self._info.dimensions,):
            raise _invalid(f"it has {len(arrays.document)} dimensions")
        return SessionState.from_arrays(arrays, empty)


def _invalid(reason: str) -> Unprocessable:
    return Unprocessable("invalid_state", f"the state is not one of this model's: {reason}")
