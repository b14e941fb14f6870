"""Batches change nothing: every vector against the same text read alone, segment after segment."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from models.evaluate import EvaluationError, Variant
from models.evaluate.encoding import encode, plan_reading
from models.tokenizer import Tokenizer
from tests.models.evaluate.conftest import WINDOW, small

DOCUMENTS = (
    (
        "a short one",
        "",
        "then a chunk that is much longer than the window of the tokenizer is " * 2,
    ),
    ("alone",),
    ("x" * 38, "x" * 39, "x" * 76, "the end"),
    ("one more chunk", "and its follower"),
)


@pytest.fixture
def variant(attention: str, tokenizer: Tokenizer) -> Variant:
    return small(attention, tokenizer)


def read_alone(variant: Variant, documents: Sequence[Sequence[str]]) -> np.ndarray:
    """Do what the service does with one document at a time."""
    vectors = []
    with torch.inference_mode():
        for document in documents:
            memories = [variant.encoder.empty_memory()] if variant.encoder.has_memory else None
            for text in document:
                [segments] = variant.tokenizer.segments([text])
                total, tokens = torch.zeros(variant.encoder.config.width), 0
                for segment in segments if memories else segments[:1]:
                    output = variant.encoder([segment], memories)
                    memories = output.memories
                    total, tokens = total + output.sums[0], tokens + len(segment.ids)
                vectors.append(torch.nn.functional.normalize(total / tokens, dim=0))
    return torch.stack(vectors).numpy()


@pytest.mark.parametrize("step_tokens", [1, 60, 2048])
def test_vectors_are_those_of_one_document_at_a_time(variant: Variant, step_tokens: int):
    reading = plan_reading(variant, DOCUMENTS)
    encoded = encode(variant, reading, step_tokens=step_tokens)
    np.testing.assert_allclose(encoded.vectors, read_alone(variant, DOCUMENTS), atol=2e-5)


def test_steps_are_full_and_not_too_full(variant: Variant):
    steps: list[int] = []
    reading = plan_reading(variant, DOCUMENTS)
    encode(variant, reading, steps.append, step_tokens=100)
    assert sum(steps) == reading.tokens
    assert max(steps) <= 100
    assert len(steps) < sum(reading.segment_counts)


def test_what_is_left_out_is_counted(variant: Variant):
    reading = plan_reading(variant, DOCUMENTS)
    counts = (reading.truncated_texts, reading.dropped_tokens)
    if variant.encoder.has_memory:
        assert counts == (0, 0)
        return
    over = [max(0, len(text) - (WINDOW - 2)) for document in DOCUMENTS for text in document]
    assert counts == (3, sum(over))


def test_a_vector_is_fresh_if_nothing_came_before(variant: Variant):
    documents = [("first", "second"), ("y" * 50,), ("only",)]
    fresh = plan_reading(variant, documents).fresh
    assert fresh == ([True, False, False, True] if variant.encoder.has_memory else [True] * 4)


def test_a_past_changes_the_vector_of_a_variant_with_memory(variant: Variant):
    [after, _, alone] = (
        encode(variant, plan_reading(variant, documents)).vectors[-1]
        for documents in ([("some past", "text")], [("text", "a future")], [("text",)])
    )
    same = np.allclose(after, alone, atol=1e-5)
    assert same != variant.encoder.has_memory


def test_vectors_that_are_not_finite_are_refused(variant: Variant):
    with torch.no_grad():
        variant.encoder.embeddings.tokens.weight[3:].fill_(float("nan"))
    with pytest.raises(EvaluationError, match=f"model {variant.id}: a vector is not finite"):
        encode(variant, plan_reading(variant, [("abc",)]))
