import numpy as np
import torch

from models.evaluate import Variant
from models.evaluate.context.cuts import Cut, content
from models.evaluate.context.late import late_vectors
from models.packing import Segment


def by_hand(variant: Variant, cut: Cut, window: int) -> np.ndarray:
    vectors = []
    for chunks in cut.documents:
        stream = [token for chunk in chunks for token in content(chunk)]
        first, *_, last = chunks[0][0].ids
        states = [torch.zeros(0, variant.encoder.config.width)]
        for start in range(0, len(stream), window - 2):
            segment = Segment((first, *stream[start : start + window - 2], last))
            states.append(variant.encoder([segment]).tokens[1:-1])
        tokens, start = torch.cat(states), 0
        for chunk in chunks:
            end = start + len(content(chunk))
            pooled = tokens[start:end].sum(0)
            vectors.append(torch.nn.functional.normalize(pooled, dim=0).detach().numpy())
            start = end
    return np.stack(vectors)


def test_chunks_are_pooled_from_the_windows_they_lie_in(base: Variant):
    documents = [("abc", "", "defghij", "klmnop"), ("",), ("xyz", "w" * 30)]
    cut = Cut.of(base.tokenizer, documents)
    for window in (8, 20, 128):
        told: list[int] = []
        found = late_vectors(base, cut, window, told.append)
        np.testing.assert_allclose(found, by_hand(base, cut, window), atol=2e-5)
        assert not found[[1, 4]].any()  # without a token there is nothing to pool
    wide, narrow = (late_vectors(base, cut, window, lambda _: None) for window in (128, 8))
    assert np.abs(wide - narrow).max() > 1e-3
