"""Token states of training documents, computed once each: the reader is trained on top of what does not change."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from models.evaluate.data import RetrievalSet
from models.fit.context.draws import Draw, Span
from models.fit.context.reading import whole_chunks
from models.loading import LoadedEncoder
from models.packing import Packing
from models.reader import ContextReader
from models.reader.parallel import read_documents
from models.reader.topics import pool_topics


@dataclass(frozen=True, slots=True)
class _State:
    """One segment: its tokens' vectors in half precision, CLS and SEP included, and its chunk in the document."""

    tokens: Tensor
    chunk: int


class States:
    """Keeps the token states of documents in memory, 768 bytes a token of width 384.

    Args:
        model: Whose attention, with its memory, reads each document from its beginning; its reader does not. So what
            the attention remembers is the document alone, also where a part starts later or another document is read
            before it: that, only the reader sees.
        sets: Training sets, by name.
    """

    def __init__(self, model: LoadedEncoder, sets: Mapping[str, RetrievalSet]) -> None:
        self._model, self._sets = model, sets
        self._kept: dict[tuple[str, int], list[_State]] = {}

    def read(self, reader: ContextReader | None, draw: Draw) -> Float[Tensor, "c d"]:
        """Return the chunk vectors of a step with what the reader, if there is one, adds; unit length."""
        self._prepare(draw)
        documents: list[list[_State]] = []
        owners: list[int | None] = []
        chunks = 0
        for reading in draw.readings:
            before = self._span(draw.name, reading.before) if reading.before else []
            states = self._span(draw.name, reading.span)
            documents.append(before + states)
            owners += [None] * len(before)
            owners += [chunks + state.chunk - reading.span.start for state in states]
            chunks += len(reading.span.chunks)
        sums = _with_context(reader, documents)
        ranked = [i for i, owner in enumerate(owners) if owner is not None]
        return whole_chunks(sums[ranked], [owner for owner in owners if owner is not None], chunks)

    def _span(self, name: str, span: Span) -> list[_State]:
        chunks = range(span.start, span.start + len(span.chunks))
        return [state for state in self._kept[name, span.document] if state.chunk in chunks]

    def _prepare(self, draw: Draw) -> None:
        needed = {
            (draw.name, span.document)
            for reading in draw.readings
            for span in (reading.span, reading.before)
            if span is not None
        }
        missing = sorted(needed - set(self._kept))
        if missing:
            self._encode(missing)

    @torch.inference_mode()
    def _encode(self, documents: Sequence[tuple[str, int]]) -> None:
        """Read documents beside one another from their beginning."""
        encoder, reader = self._model.encoder, self._model.encoder.reader
        placed = []
        for name, index in documents:
            segments = self._model.tokenizer.segments(self._sets[name].documents[index])
            placed.append([(s, place) for place, found in enumerate(segments) for s in found])
            self._kept[name, index] = []
        memories = [encoder.empty_memory() for _ in documents]
        device = next(encoder.parameters()).device
        encoder.reader = None
        try:
            with torch.autocast(device.type, torch.bfloat16):
                for turn in range(max(map(len, placed))):
                    active = [i for i, segments in enumerate(placed) if turn < len(segments)]
                    batch = [placed[i][turn][0] for i in active]
                    output = encoder(batch, [memories[i] for i in active])
                    rows = Packing(tuple(len(segment.ids) for segment in batch)).slices
                    for i, row, memory in zip(active, rows, output.memories or (), strict=True):
                        memories[i] = memory
                        state = _State(output.tokens[row].half().clone(), placed[i][turn][1])
                        self._kept[documents[i]].append(state)
        finally:
            encoder.reader = reader


def _with_context(
    reader: ContextReader | None, documents: Sequence[Sequence[_State]]
) -> Float[Tensor, "s d"]:
    """Return the sums of all segments, document after document, with what the reader adds."""
    states = [state for document in documents for state in document]
    lengths = [len(document) for document in documents]
    packing = Packing(tuple(len(state.tokens) for state in states))
    x = torch.cat([state.tokens for state in states]).float()
    sums = torch.stack([x[rows].sum(0) for rows in packing.slices])
    if reader is None:
        return sums
    topics, _ = pool_topics(x, reader.topic(x), packing)
    directions = F.normalize(sums, dim=-1)
    present = pad_sequence([torch.ones(n, dtype=torch.bool) for n in lengths], batch_first=True)
    added = read_documents(
        reader,
        pad_sequence(list(torch.split(directions, lengths)), batch_first=True),
        pad_sequence(list(torch.split(topics, lengths)), batch_first=True),
        present.to(x.device),
    )
    found: Tensor = sums.norm(dim=-1, keepdim=True) * added[present.to(x.device)]
    return sums + found
