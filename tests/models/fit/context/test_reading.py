"""Documents beside one another are read as each of them alone, and gradients go back through all of it."""

import torch
import torch.nn.functional as F
from torch import Tensor

from models.fit.context.draws import Reading, Span
from models.fit.context.reading import read_alone, read_together
from models.loading import LoadedEncoder
from tests.models.fit.context.conftest import WINDOW, LoadSmall
from tests.models.small import random_texts

TEXTS = tuple(random_texts(12, longest=9))
LONG = " ".join(["old", "green", "harbour"] * 5)  # two segments
READINGS = (
    Reading(Span(0, 0, TEXTS[:3]), (), (), ()),
    Reading(
        Span(1, 4, (TEXTS[3], LONG, TEXTS[4])),
        (Span(2, 0, TEXTS[5:6]), Span(5, 1, TEXTS[6:7])),
        (),
        (),
    ),
    Reading(Span(3, 0, (LONG,)), (Span(0, 2, (LONG,)),), (), ()),
)


def _one_by_one(model: LoadedEncoder, reading: Reading) -> Tensor:
    """Return the vectors of a reading's chunks as a session gives them."""
    memory = model.encoder.empty_memory()
    before = [chunk for span in reading.before for chunk in span.chunks]
    vectors = []
    for chunk in (*before, *reading.span.chunks):
        [segments] = model.tokenizer.segments([chunk])
        assert (len(segments) == 2) == (chunk == LONG)
        total = torch.zeros(model.encoder.config.width)
        for segment in segments:
            output = model.encoder([segment], [memory])
            total = total + output.sums[0]
            [memory] = output.memories
        vectors.append(F.normalize(total, dim=0))
    return torch.stack(vectors[len(before) :])


def test_documents_are_read_together_as_each_alone(load_small: LoadSmall):
    for variant in ("infini", "infini-plus"):
        model = load_small(variant)
        with torch.inference_mode():
            together = read_together(model.encoder, model.tokenizer, READINGS)
            alone = torch.cat([_one_by_one(model, reading) for reading in READINGS])
            forgetful = read_alone(model.encoder, model.tokenizer, TEXTS[:3])
        torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-4)
        assert torch.equal(together[0].argsort(), forgetful[0].argsort())
        assert (together[1:3] - forgetful[1:]).abs().amax(-1).min() > 1e-3


def test_texts_are_read_alone_segment_by_segment_in_the_order_they_were_asked(
    load_small: LoadSmall,
):
    model = load_small("infini-plus")
    texts = [TEXTS[3], LONG, TEXTS[0], "stone"]
    found = read_alone(model.encoder, model.tokenizer, texts)
    assert not found.requires_grad
    for text, vector in zip(texts, found, strict=True):
        total = torch.zeros(model.encoder.config.width)
        for segment in model.tokenizer.segments([text])[0]:
            assert len(segment.ids) <= WINDOW
            total += model.encoder([segment], [model.encoder.empty_memory()]).sums[0]
        expected = F.normalize(total, dim=0)
        torch.testing.assert_close(vector, expected, atol=1e-5, rtol=1e-5)


def test_a_later_chunks_loss_reaches_what_an_earlier_one_wrote(load_small: LoadSmall):
    """The projection that writes acts on later chunks alone."""
    model = load_small("infini")
    writes = model.encoder.get_parameter("blocks.1.attention.memory_side.value.up.weight")
    writes.requires_grad_()
    vectors = read_together(model.encoder, model.tokenizer, READINGS[:1])
    assert vectors.requires_grad
    [of_first] = torch.autograd.grad(vectors[0].sum(), [writes], retain_graph=True)
    [of_last] = torch.autograd.grad(vectors[2].sum(), [writes])
    assert not of_first.any()
    assert of_last.abs().max() > 0
