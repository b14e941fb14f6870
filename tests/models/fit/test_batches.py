"""Training batches: of one length, the same for the same step, and never of what is held out."""

from collections import Counter

import pytest

from models.errors import FitError
from models.fit.batches import EXACT_UP_TO, LEAST_IN_BUCKET, ROUNDING, Batches
from models.tokenizer import Tokenizer
from tests.models.small import WORDS, random_texts

STEPS = range(60)


def test_the_batch_of_a_step_depends_on_seed_and_step_alone(tokenizer: Tokenizer):
    texts = random_texts(300, longest=8)
    one, other = (Batches(texts, tokenizer, 128, seed=3, held_out=20) for _ in range(2))
    expected = {step: one.batch(step) for step in STEPS}
    for step in reversed(STEPS):
        assert other.batch(step) == expected[step]
        assert one.batch(step) == expected[step]
    different = Batches(texts, tokenizer, 128, seed=4, held_out=20)
    assert [different.batch(step) for step in STEPS] != list(expected.values())
    assert len({tuple(batch) for batch in expected.values()}) > len(STEPS) // 2


def test_a_batch_is_of_one_length_without_repeats_and_of_about_the_tokens_asked_for(
    batches: Batches,
):
    for step in STEPS:
        batch = batches.batch(step)
        [length] = {len(segment.ids) for segment in batch}
        assert len(set(batch)) == len(batch)
        assert 1 <= len(batch) <= 132 // length


def test_what_is_held_out_is_never_drawn(batches: Batches):
    held_out = set(batches.held_out)
    assert 30 < len(held_out) == len(batches.held_out) <= 66
    seen = {segment for step in range(300) for segment in batches.batch(step)}
    assert len(seen) > 200
    assert not seen & held_out


def test_every_token_is_as_likely_as_any_other(tokenizer: Tokenizer):
    short = [f"{a} {b}" for a in WORDS for b in WORDS][:400]
    long = [" ".join([a, b] * 10) for a in WORDS for b in WORDS][:100]
    batches = Batches(short + long, tokenizer, 64, seed=0, held_out=0)
    lengths = Counter(len(batches.batch(step)[0].ids) for step in range(2000))
    assert set(lengths) == {4, 22}
    share = 400 * 4 / (400 * 4 + 100 * 22)
    assert lengths[4] / 2000 == pytest.approx(share, abs=0.04)


def test_long_items_lose_their_tail_down_to_a_round_length(tokenizer: Tokenizer):
    texts = [
        " ".join(WORDS[(i + j) % len(WORDS)] for j in range(n))
        for n in (46, 47, 55)
        for i in range(10)
    ]
    batches = Batches(texts, tokenizer, 512, seed=0, held_out=0)
    items = [segment for step in range(30) for segment in batches.batch(step)]
    assert {len(item.ids) for item in items} == {EXACT_UP_TO, EXACT_UP_TO + ROUNDING}
    assert {(item.ids[0], item.ids[-1]) for item in items} == {(0, 1)}
    whole = {segment.ids[1:-1] for cut in tokenizer.segments(texts) for segment in cut}
    for item in items:
        assert any(ids[: item.content_tokens] == item.ids[1:-1] for ids in whole)


def test_segments_of_a_long_text_are_items_and_empty_texts_are_none(tokenizer: Tokenizer):
    texts = ["", " ", *(" ".join([word, "river"] * 62) for word in WORDS)]
    batches = Batches(texts, tokenizer, 256, seed=0, held_out=0)
    assert {len(batches.batch(step)[0].ids) for step in STEPS} == {64}
    assert batches.tokens == 2 * len(WORDS) * 64


def test_too_few_texts_for_a_batch_are_refused(tokenizer: Tokenizer):
    texts = random_texts(LEAST_IN_BUCKET - 1, longest=1)
    with pytest.raises(FitError, match="too few training texts"):
        Batches(texts, tokenizer, 64, seed=0, held_out=0)
