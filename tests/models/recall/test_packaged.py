"""The packaged head, on the real base: it keeps what it is told to keep, and its card is about the same base."""

import pytest
import torch

from models.checkpoints import packaged
from models.errors import WeightsError
from models.loading import LoadedEncoder
from models.recall import (
    Parts,
    RecallAnswer,
    RecallHead,
    load_recall,
    packaged_recall,
    read_recall_header,
)
from models.weights.cards import read_card

TOLD = (
    "The carriage was late. The pass key of Nora Quist is 73622. Remember it: 73622 is the pass key of Nora Quist.",
    "In 1812 General Petrov counted 480 men; the farm of Ida Holm sold 12345 eggs.",
    "Ida Holm's door code is 0 4 1 7, and nobody else knew.",
)


@pytest.fixture(scope="module")
def head(multi_head: LoadedEncoder) -> RecallHead:
    file = packaged("recall", "safetensors")
    assert file is not None
    return load_recall(file, multi_head.base_sha256)


def read(base: LoadedEncoder, head: RecallHead, texts: tuple[str, ...]) -> Parts:
    parts = head.empty()
    for segments in base.tokenizer.segments(texts):
        states = base.encoder.states(segments, head.options.layer)
        for x, segment in zip(states, segments, strict=True):
            parts = head.write(x, segment, parts)
    return parts


def ask(base: LoadedEncoder, head: RecallHead, text: str, parts: Parts) -> RecallAnswer:
    segment = base.tokenizer.segments([text])[0][0]
    return head.answer(base.encoder.states([segment], head.options.layer)[0], segment, parts)


@pytest.mark.parametrize(
    ("question", "digits"),
    [
        ("What is the pass key of Nora Quist?", "73622"),
        ("Tell me Ida Holm's door code.", "0417"),
        ("What is the pass key of Boris Lang?", ""),
    ],
)
def test_it_finds_what_was_stated_and_nothing_else(
    multi_head: LoadedEncoder, head: RecallHead, question: str, digits: str
):
    answer = ask(multi_head, head, question, read(multi_head, head, TOLD))
    assert (answer.digits, answer.found) == (digits, bool(digits))


def test_numbers_that_are_only_mentioned_leave_no_trace(
    multi_head: LoadedEncoder, head: RecallHead
):
    parts = read(multi_head, head, TOLD[1:2])
    assert not any(part.any() for part in parts.values())


def test_where_a_segment_stands_does_not_matter(multi_head: LoadedEncoder, head: RecallHead):
    forward, backward = read(multi_head, head, TOLD), read(multi_head, head, TOLD[::-1])
    for name, part in forward.items():
        assert torch.allclose(part, backward[name], atol=1e-5)


def test_it_is_taken_for_its_own_base_alone(multi_head: LoadedEncoder):
    found = packaged_recall(multi_head.base_sha256, 3)
    assert found is not None
    assert not found.training
    assert not any(parameter.requires_grad for parameter in found.parameters())
    assert packaged_recall("0" * 64, 3) is None


def test_it_is_refused_above_layers_that_heed_what_was_read(multi_head: LoadedEncoder):
    with pytest.raises(WeightsError, match=r"output of 3 layers.*from 2 on"):
        packaged_recall(multi_head.base_sha256, 2)


def test_its_card_is_about_the_same_base():
    file, card = packaged("recall", "safetensors"), packaged("recall", "md")
    assert file is not None
    assert card is not None
    assert read_card(card).base == read_recall_header(file).base
    assert read_card(card).evaluation["file_bytes"] == file.stat().st_size
