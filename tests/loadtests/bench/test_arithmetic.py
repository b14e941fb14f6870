import pytest

from loadtests.bench.arithmetic import (
    continue_seconds,
    cost_of_token,
    fastest,
    gemm_rate,
    recompute_seconds,
    whole_seconds,
)
from models.config import EncoderConfig

MINILM = EncoderConfig(
    width=384,
    layers=6,
    heads=12,
    feed_forward_width=1536,
    vocabulary=30522,
    positions=512,
    token_types=2,
    norm_epsilon=1e-12,
    max_tokens=256,
)
SMALL = EncoderConfig(
    width=32,
    layers=2,
    heads=2,
    feed_forward_width=64,
    vocabulary=10,
    positions=16,
    token_types=2,
    norm_epsilon=1e-12,
    max_tokens=16,
)


def test_a_token_of_minilm_costs_what_is_known_of_it():
    cost = cost_of_token(MINILM, 256)
    assert cost.linear == pytest.approx(21.2e6, rel=0.01)
    assert cost.attention == pytest.approx(2.36e6, rel=0.01)
    assert cost.total == cost.linear + cost.attention


def test_attention_alone_grows_with_the_segment():
    short, long = cost_of_token(MINILM, 128), cost_of_token(MINILM, 256)
    assert short.linear == long.linear
    assert long.attention == 2 * short.attention


def test_recomputing_grows_faster_than_the_document():
    assert recompute_seconds(SMALL, 8192) > 3 * recompute_seconds(SMALL, 2048)


def test_the_whole_document_costs_what_some_of_its_rows_promise():
    # Wide enough apart that a busy machine does not matter.
    assert 0.2 < whole_seconds(SMALL, 8192) / recompute_seconds(SMALL, 8192) < 5


def test_a_chunk_against_kept_keys_costs_less_than_the_whole():
    assert continue_seconds(SMALL, 8192, 256) < whole_seconds(SMALL, 8192) / 4


def test_a_machine_multiplies():
    assert gemm_rate(SMALL, 64, 2) > 1e6


def test_the_first_run_does_not_count():
    calls = []
    assert fastest(lambda: calls.append(1), 3) >= 0
    assert len(calls) == 4
