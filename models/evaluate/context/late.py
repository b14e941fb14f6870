"""Late chunking: token vectors of a long window, averaged chunk by chunk."""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from models.evaluate.context.cuts import Cut, content
from models.evaluate.context.reading import Advance, Vectors
from models.evaluate.encoding import STEP_TOKENS, unit_vectors
from models.evaluate.variant import Variant
from models.packing import Segment, full_steps


def late_vectors(variant: Variant, cut: Cut, window: int, advance: Advance) -> Vectors:
    """Encode windows over the documents' tokens, and pool the token vectors of each chunk.

    *Method*: late chunking (arXiv 2409.04701), for documents longer than the window in windows end to end.
    **Deviation:** CLS and SEP are of no chunk and are not pooled.

    Args:
        variant: A model without memory.
        cut: The documents.
        window: Tokens of a window, CLS and SEP included; at most the model's positions.
        advance: Is told the tokens of each step, without CLS and SEP.

    Returns:
        Unit vectors; zeros for a chunk without tokens.

    Raises:
        EvaluationError: a vector is not finite.
    """
    windows = list(_windows(cut, window - 2))
    sums = np.zeros((len(cut.lengths), variant.encoder.config.width), np.float32)
    counts = np.zeros(len(cut.lengths), np.float32)
    with torch.inference_mode():
        for step in full_steps([segment for segment, _ in windows], STEP_TOKENS):
            segments = [windows[i][0] for i in step]
            tokens = variant.encoder(segments).tokens.float().cpu().numpy()
            owners = np.concatenate([np.pad(windows[i][1], 1, constant_values=-1) for i in step])
            inside = owners >= 0  # CLS and SEP are not
            np.add.at(sums, owners[inside], tokens[inside])
            np.add.at(counts, owners[inside], 1)
            advance(int(inside.sum()))
    return unit_vectors(sums / np.maximum(counts, 1)[:, None], variant.id)


def _windows(cut: Cut, size: int) -> Iterator[tuple[Segment, NDArray[np.int64]]]:
    """Yield windows of at most `size` tokens of a document, and the row of the chunk each token is of."""
    for document, chunks in enumerate(cut.documents):
        texts = [content(chunk) for chunk in chunks]
        stream = [token for text in texts for token in text]
        owners = np.repeat(np.arange(len(texts)) + cut.starts[document], [*map(len, texts)])
        first, *_, last = chunks[0][0].ids
        for start in range(0, len(stream), size):
            ids = stream[start : start + size]
            yield Segment((first, *ids, last)), owners[start : start + size]
