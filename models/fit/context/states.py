"""Token states of training documents, computed once each: the reader is trained on top of what does not change."""

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Final

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from models.evaluate.data import RetrievalSet
from models.fit.context.draws import Draw, Span
from models.fit.context.reading import whole_chunks
from models.loading import LoadedEncoder
from models.packing import Packing, Segment, full_steps
from models.reader import ContextReader
from models.reader.parallel import read_documents
from models.reader.topics import pool_topics

_Place = tuple[str, int, int, bool]
"""A set, a document in it, a chunk in that, and whether something was read before it."""
_BATCH_TOKENS: Final = 4096


class States:
    """Keeps the token states of chunks in memory, 768 bytes a token of width 384.

    Args:
        model: Whose layers read each segment; they keep nothing of it, the reader alone does.
        sets: Training sets, by name.
    """

    def __init__(self, model: LoadedEncoder, sets: Mapping[str, RetrievalSet]) -> None:
        self._model, self._sets = model, sets
        self._kept: dict[_Place, list[Tensor]] = {}

    def read(self, reader: ContextReader | None, draw: Draw) -> Float[Tensor, "c d"]:
        """Return the chunk vectors of a step with what the reader, if there is one, adds; unit length."""
        documents: list[list[Tensor]] = []
        owners: list[int | None] = []
        chunks = 0
        for reading in draw.readings:
            before = list[Tensor]()
            for span in reading.before:
                before += [
                    x for part in self._span(draw.name, span, begun=bool(before)) for x in part
                ]
            own = self._span(draw.name, reading.span, begun=bool(before))
            documents.append(before + [x for part in own for x in part])
            owners += [None] * len(before)
            owners += [place for place, part in enumerate(own, chunks) for _ in part]
            chunks += len(own)
        sums = _with_context(reader, documents)
        ranked = [i for i, owner in enumerate(owners) if owner is not None]
        return whole_chunks(sums[ranked], [owner for owner in owners if owner is not None], chunks)

    def _span(self, name: str, span: Span, *, begun: bool) -> list[list[Tensor]]:
        """Return each chunk's segments: their tokens' vectors in half precision, CLS and SEP included."""
        places = [
            (name, span.document, span.start + i, begun or i > 0) for i in range(len(span.chunks))
        ]
        missing = [place for place in places if place not in self._kept]
        if missing:
            self._encode(missing)
        return [self._kept[place] for place in places]

    @torch.inference_mode()
    def _encode(self, places: Sequence[_Place]) -> None:
        texts = [self._sets[name].documents[index][chunk] for name, index, chunk, _ in places]
        cut = self._model.tokenizer.segments(texts)
        segments = [segment for found in cut for segment in found]
        # Of a chunk with nothing before it, the first segment alone has nothing before it.
        begun = [
            place[-1] or i > 0
            for place, found in zip(places, cut, strict=True)
            for i in range(len(found))
        ]
        states: dict[int, Tensor] = {}
        for which in (False, True):
            chosen = [i for i, one in enumerate(begun) if one is which]
            found_states = self._states([segments[i] for i in chosen], begun=which)
            states.update(zip(chosen, found_states, strict=True))
        rest = iter([states[i] for i in range(len(segments))])
        for place, own in zip(places, cut, strict=True):
            self._kept[place] = list(islice(rest, len(own)))

    def _states(self, segments: Sequence[Segment], *, begun: bool) -> list[Tensor]:
        encoder = self._model.encoder
        device = encoder.embeddings.tokens.weight.device.type
        states: dict[int, Tensor] = {}
        with torch.autocast(device, torch.bfloat16):
            for step in full_steps(segments, _BATCH_TOKENS):
                chosen = [segments[i] for i in step]
                found = encoder.states(chosen, encoder.config.layers, begun=begun)
                states.update((i, x.half()) for i, x in zip(step, found, strict=True))
        return [states[i] for i in range(len(segments))]


def _with_context(
    reader: ContextReader | None, documents: Sequence[Sequence[Tensor]]
) -> Float[Tensor, "s d"]:
    """Return the sums of all segments, document after document, with what the reader adds."""
    states = [state for document in documents for state in document]
    lengths = [len(document) for document in documents]
    packing = Packing(tuple(map(len, states)))
    x = torch.cat(states).float()
    sums = torch.stack([x[rows].sum(0) for rows in packing.slices])
    if reader is None:
        return sums
    topics, _ = pool_topics(x, reader.topic(x), packing)
    directions = F.normalize(sums, dim=-1)
    present = pad_sequence([torch.ones(n, dtype=torch.bool) for n in lengths], batch_first=True)
    added = read_documents(
        reader,
        x,
        packing,
        pad_sequence(list(torch.split(directions, lengths)), batch_first=True),
        pad_sequence(list(torch.split(topics, lengths)), batch_first=True),
        present.to(x.device),
    )
    found: Tensor = sums.norm(dim=-1, keepdim=True) * added[present.to(x.device)]
    return sums + found
