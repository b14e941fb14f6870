import numpy as np
import pytest

from service.errors import Conflict, PreconditionFailed, Unprocessable
from service.ports import AppendCommand, AttentionCommand, EncoderPort, ModelInfo
from tests.service.api.fake import FakeEncoder
from tests.service.api.fake_vectors import fake_vector

INFO = ModelInfo("m", "infini", 6, 4, 100, "f", "base")
STATELESS = ModelInfo("m", "multi-head", 6, 4, 0, "f", "base")


def _command(*chunks: str, first_seq: int | None = None, if_match: str | None = None):
    tags = None if if_match is None else (if_match,)
    return AppendCommand("t", "s", chunks, first_seq, tags, want_document=True)


async def test_it_is_a_port_that_answers_the_same_every_time():
    one: EncoderPort = FakeEncoder(INFO)
    two: EncoderPort = FakeEncoder(INFO)
    first = await one.append(_command("a b", "c"))
    await two.append(_command("a b"))
    second = await two.append(_command("c"))
    np.testing.assert_array_equal(first.answers[1].embedding, second.answers[0].embedding)
    np.testing.assert_array_equal(first.document, second.document)
    assert first.document is not None
    assert first.document.dtype == np.float32
    assert np.linalg.norm(first.document) == pytest.approx(1.0, abs=1e-6)
    assert [(a.tokens, a.token_start) for a in first.answers] == [(2, 0), (1, 2)]
    assert await one.info() == INFO


async def test_the_rules_of_an_append():
    encoder = FakeEncoder(INFO)
    begun = await encoder.append(_command("a", first_seq=0))
    replay = await encoder.append(_command("a", "b", first_seq=0))
    assert [answer.replayed for answer in replay.answers] == [True, False]
    assert replay.next_seq == 2
    with pytest.raises(Conflict) as other:
        await encoder.append(_command("z", first_seq=0))
    assert other.value.extras == {"expected_seq": 2, "provided_seq": 0, "next_seq": 2}
    with pytest.raises(Conflict):
        await encoder.append(_command("z", first_seq=3))
    with pytest.raises(PreconditionFailed):
        await encoder.append(_command("c", if_match=begun.etag))
    await encoder.append(_command("c", "d", if_match=replay.etag))


async def test_windows_hold_without_memory_only():
    long = "a b c d e f"
    with pytest.raises(Unprocessable):
        await FakeEncoder(STATELESS).embed([long], truncate=False)
    cut = await FakeEncoder(STATELESS).embed([long, "x"], truncate=True)
    assert (cut.tokens, cut.truncated_tokens) == (5, 2)
    whole = await FakeEncoder(INFO).embed([long], truncate=False)
    assert (whole.tokens, whole.truncated_tokens) == (6, 0)
    np.testing.assert_array_equal(whole.vectors[0], fake_vector(long, 6))


async def test_tokens_are_words_with_places_and_vectors():
    encoder: EncoderPort = FakeEncoder(INFO)
    [found] = (await encoder.tokenize(["a  bc"])).texts
    assert (found.pieces, found.offsets) == (("a", "bc"), ((0, 1), (3, 5)))
    result = await encoder.encode(["a  bc"], truncate=False)
    assert result.texts[0].tokens.offsets == (None, *found.offsets, None)
    np.testing.assert_array_equal(result.texts[0].vectors[2], fake_vector("bc", 6))
    shown = await encoder.inspect(AttentionCommand("a b", layers=(1,), heads=(0, 2)))
    [layer] = shown.layers
    weights = layer.directions[0].weights
    assert weights is not None
    assert weights.shape == (2, 4, 4)
    np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-6)
    with pytest.raises(Unprocessable):
        await FakeEncoder(STATELESS).inspect(AttentionCommand("a", "b"))
    with pytest.raises(Unprocessable):
        await encoder.inspect(AttentionCommand("a b c d e"))
