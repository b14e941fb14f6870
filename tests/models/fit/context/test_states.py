"""What the reader is trained on is what it is served with: states and document form against segment by segment."""

from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from models.evaluate.data import RetrievalSet
from models.fit.context.draws import Draw, Reading, Span
from models.fit.context.states import States
from models.loading import LoadedEncoder
from models.reader import ContextReader
from tests.models.fit.context.conftest import LoadSmall

FEWEST_SEGMENTS = 8
Read = tuple[LoadedEncoder, ContextReader, States]


@pytest.fixture
def read(load_small: LoadSmall, documents: RetrievalSet, monkeypatch: pytest.MonkeyPatch) -> Read:
    """Return a model and the states of its documents, computed in full precision and kept in half."""
    full_precision = partial(torch.autocast, enabled=False)
    monkeypatch.setattr(torch, "autocast", lambda device, *_, **__: full_precision(device))
    model = load_small("infini-plus")
    reader = model.encoder.reader
    assert reader is not None
    return model, reader, States(model, {documents.name: documents})


def _served(model: LoadedEncoder, reading: Reading) -> Tensor:
    """Return the chunk vectors that the encoder gives with its reader, one segment after the other."""
    memory = model.encoder.empty_memory()
    before = [chunk for span in reading.before for chunk in span.chunks]
    vectors = []
    with torch.inference_mode():
        for chunk in (*before, *reading.span.chunks):
            total = torch.zeros(model.encoder.config.width)
            for segment in model.tokenizer.segments([chunk])[0]:
                output = model.encoder([segment], [memory])
                total = total + output.sums[0]
                [memory] = output.memories
            vectors.append(F.normalize(total, dim=0))
    return torch.stack(vectors[len(before) :])


def _span(documents: RetrievalSet, index: int, start: int = 0, stop: int | None = None) -> Span:
    return Span(index, start, documents.documents[index][start:stop])


def test_documents_read_from_their_start_are_as_served(read: Read, documents: RetrievalSet):
    model, reader, states = read
    readings = tuple(Reading(_span(documents, i, 0, 5 - i), (), (), ()) for i in (2, 0))
    segments = model.tokenizer.segments(readings[1].span.chunks)
    assert sum(map(len, segments)) >= FEWEST_SEGMENTS
    assert 2 in map(len, segments)

    found = states.read(reader, Draw(documents.name, readings))

    served = torch.cat([_served(model, reading) for reading in readings])
    torch.testing.assert_close(found, served, atol=2e-3, rtol=0)
    model.encoder.reader = None
    unread = torch.cat([_served(model, reading) for reading in readings])
    first = [0, len(readings[0].span.chunks)]
    later = [i for i in range(len(found)) if i not in first]
    assert (found[later] - unread[later]).abs().amax(-1).min() > 5e-3  # what is compared is there


def test_parts_and_what_is_read_before_them_are_as_served(read: Read, documents: RetrievalSet):
    model, reader, states = read
    readings = (
        Reading(_span(documents, 3, 2), (_span(documents, 0, 3), _span(documents, 2, 2)), (), ()),
        Reading(_span(documents, 4, 0, 2), (_span(documents, 5, 1),), (), ()),
        Reading(_span(documents, 1, 1, 4), (), (), ()),
    )

    found = states.read(reader, Draw(documents.name, readings))

    served = torch.cat([_served(model, reading) for reading in readings])
    torch.testing.assert_close(found, served, atol=2e-3, rtol=0)
    without = tuple(Reading(reading.span, (), (), ()) for reading in readings)
    alone = states.read(reader, Draw(documents.name, without))
    assert (found[:5] - alone[:5]).abs().amax(-1).min() > 5e-3
    torch.testing.assert_close(found[5:], alone[5:], atol=1e-5, rtol=1e-5)


def test_states_are_computed_once_and_gradients_reach_the_reader_alone(
    read: Read, documents: RetrievalSet, monkeypatch: pytest.MonkeyPatch
):
    model, reader, states = read
    reader.requires_grad_()
    draw = Draw(documents.name, (Reading(_span(documents, 0), (), (), ()),))
    first = states.read(reader, draw)

    def refuse(*_: object) -> None:
        raise AssertionError("read again")

    monkeypatch.setattr(model.encoder, "states", refuse)
    assert torch.equal(states.read(reader, draw), first)
    gradients = torch.autograd.grad(first[1:].sum(), list(reader.parameters()))
    assert all(gradient.isfinite().all() and gradient.any() for gradient in gradients)
