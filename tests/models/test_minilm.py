"""The real checkpoint: equal to sentence-transformers, and untouched by an empty memory."""

import pytest
import torch
from sentence_transformers import SentenceTransformer

from models.loading import LoadedEncoder
from models.packing import Segment
from models.weights import locate
from tests.models.conftest import WEIGHTS
from tests.texts import SENTENCES, varied_texts


def flat(model: LoadedEncoder, texts: list[str]) -> list[Segment]:
    """Return the only segment of each text."""
    cut = model.tokenizer.segments(texts)
    assert all(len(segments) == 1 for segments in cut)
    return [segments[0] for segments in cut]


@pytest.fixture(scope="module")
def reference() -> SentenceTransformer:
    return SentenceTransformer(str(locate(WEIGHTS).directory), device="cpu")


def test_multi_head_is_sentence_transformers(
    multi_head: LoadedEncoder, reference: SentenceTransformer
):
    drawn = varied_texts(1100)
    cut = multi_head.tokenizer.segments(drawn)
    texts = [text for text, segments in zip(drawn, cut, strict=True) if len(segments) == 1][:1000]
    assert len(texts) == 1000
    segments = flat(multi_head, texts)
    lengths = {segment.content_tokens for segment in segments}
    assert min(lengths) == 0
    assert max(lengths) > 200
    with torch.inference_mode():
        sums = torch.cat([multi_head.encoder(segments[i : i + 8]).sums for i in range(0, 1000, 8)])
    ours = torch.nn.functional.normalize(sums, dim=-1).numpy()
    theirs = reference.encode(texts, batch_size=32)
    cosines = (ours * theirs).sum(-1)
    assert cosines.min() >= 0.99999


def test_infini_on_a_first_segment_is_the_base_bit_for_bit(
    multi_head: LoadedEncoder, infini: LoadedEncoder
):
    segments = flat(multi_head, [*SENTENCES, ""])
    with torch.inference_mode():
        for batch in ([segment] for segment in segments):
            memories = [infini.encoder.empty_memory()]
            expected = multi_head.encoder(batch).sums
            assert torch.equal(infini.encoder(batch, memories).sums, expected)
        memories = [infini.encoder.empty_memory() for _ in segments]
        expected = multi_head.encoder(segments).sums
        assert torch.equal(infini.encoder(segments, memories).sums, expected)


def test_forward_is_the_fold_of_step_on_real_text(infini: LoadedEncoder):
    segments = infini.tokenizer.segments([" ".join(SENTENCES)])[0]
    assert len(segments) > 2
    fast = slow = infini.encoder.empty_memory()
    with torch.inference_mode():
        for segment in segments[:3]:
            one, other = infini.encoder([segment], [fast]), infini.encoder.step(segment, slow)
            mean, expected = one.sums / len(segment.ids), other.sums / len(segment.ids)
            torch.testing.assert_close(mean, expected, atol=1e-5, rtol=0)
            fast, slow = one.memories[0], other.memories[0]  # type: ignore[index]


def test_state_is_152_kilobytes_at_any_length(infini: LoadedEncoder):
    assert infini.encoder.empty_memory().nbytes == 152_064  # the upper three layers have a memory
    assert infini.fingerprint == infini.fingerprint.lower()
    assert len(infini.fingerprint) == 64
