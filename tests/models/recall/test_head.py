"""The recall head: fast and readable forms agree, states are values, and what is written is read again."""

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor

from models.packing import Segment
from models.recall import CROSS, GRAM, RecallHead
from models.recall.reference import votes_slowly, write_slowly
from tests.models.recall.heads import OPTIONS, WORD, random_head, random_states, segment

TEXT = segment(WORD, 31, 17, 23, 32, 33, 12, 34, 35, 31, 36, 37, 18, 19)
QUESTION = segment(31, 32, 14, 40)


def assert_close(ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> None:
    assert ours.keys() == theirs.keys()
    for name, part in ours.items():
        assert torch.allclose(part, theirs[name], atol=1e-5), name


def mixed(x: Tensor) -> Tensor:
    """Return a sum in which every entry has a weight of its own."""
    return (x * torch.arange(x.numel()).view_as(x).cos()).sum()


def write(head: RecallHead, text: Segment, seed: int = 0) -> Mapping[str, Tensor]:
    with torch.no_grad():
        return head.write(random_states(text, seed), text, head.empty())


def test_fast_and_readable_writing_agree_in_values_and_gradients():
    gradients = []
    for form in (RecallHead.write, write_slowly):
        head, states = random_head(), random_states(TEXT).requires_grad_()
        before = {name: torch.full(shape, 0.1) for name, shape in head.memory_parts.items()}
        after = form(head, states, TEXT, before)
        loss = torch.stack([mixed(part) for part in after.values()]).sum()
        wanted = [states, *(p for n, p in head.named_parameters() if "question" not in n)]
        gradients.append((after, torch.autograd.grad(loss, wanted)))
    (ours, our_gradients), (theirs, their_gradients) = gradients
    assert_close(ours, theirs)
    assert all(gradient.abs().sum() > 0 for gradient in our_gradients)
    for mine, other in zip(our_gradients, their_gradients, strict=True):
        assert torch.allclose(mine, other, atol=1e-4, rtol=1e-3)


def test_a_number_with_nothing_around_it_has_hardly_an_address():
    head, alone = random_head(), segment(17, 23)
    states = random_states(alone)
    with torch.no_grad():
        parts = head.write(states, alone, head.empty())
        assert_close(parts, write_slowly(head, states, alone, head.empty()))
    assert all(part.isfinite().all() for part in parts.values())
    assert parts[GRAM].trace() < 1e-6


def test_fast_and_readable_reading_agree_in_values_and_gradients():
    parts = write(random_head(), TEXT)
    found = []
    for slowly in (False, True):
        head, states = random_head(), random_states(QUESTION, 1).requires_grad_()
        if slowly:
            votes = votes_slowly(head, states, QUESTION, parts)
        else:
            votes = head.votes(parts, head.asked(states, QUESTION)[None])[0]
        loss = mixed(votes)
        wanted = [states, *(p for n, p in head.named_parameters() if "question" in n)]
        found.append((votes, torch.autograd.grad(loss, wanted)))
    (ours, our_gradients), (theirs, their_gradients) = found
    assert torch.allclose(ours, theirs, atol=1e-4)
    assert our_gradients[0].abs().sum() > 0
    for mine, other in zip(our_gradients, their_gradients, strict=True):
        assert torch.allclose(mine, other, atol=1e-3, rtol=1e-3)


def test_a_state_has_the_shapes_it_says_and_is_never_changed():
    head, states = random_head(), random_states(TEXT)
    before = head.empty()
    after = head.write(states, TEXT, before)
    assert {name: tuple(part.shape) for name, part in after.items()} == head.memory_parts
    assert all(part.dtype == torch.float32 for part in after.values())
    assert not any(part.any() for part in before.values())
    assert after[GRAM].any()


def test_a_text_without_numbers_leaves_the_state_as_it_is():
    head, parts = random_head(), write(random_head(), TEXT)
    text = segment(WORD, 31, 32)
    after = head.write(random_states(text), text, {**parts, "another's": torch.ones(1)})
    assert after.keys() == parts.keys()
    assert all(after[name] is part for name, part in parts.items())


def test_a_closed_gate_writes_exact_zeros():
    head = random_head()
    with torch.no_grad():
        head.gate_score.bias.fill_(-50.0)
    assert not any(part.any() for part in write(head, TEXT).values())


def test_states_of_two_texts_add_up_to_the_state_of_both():
    head = random_head()
    other = segment(40, 41, 15, 22, 42)
    one, two = write(head, TEXT), write(head, other, 1)
    with torch.no_grad():
        both = head.write(random_states(other, 1), other, one)
    assert_close(both, {name: one[name] + two[name] for name in one})


def test_only_tokens_within_reach_of_a_number_can_matter():
    head = random_head()
    far = segment(*[WORD] * 6, 17, *[WORD] * 6)
    states = random_states(far)
    moved = states.clone()
    outside = [0, 1, 2, 12, 13, 14]  # CLS, SEP and what is more than four places away
    moved[outside] += 1.0
    with torch.no_grad():
        assert_close(head.write(states, far, head.empty()), head.write(moved, far, head.empty()))
        moved[3] += 1.0
        changed = head.write(moved, far, head.empty())
    assert not torch.allclose(changed[GRAM], head.write(states, far, head.empty())[GRAM])


def test_what_was_never_read_is_not_found():
    head = random_head()
    answer = head.answer(random_states(QUESTION), QUESTION, head.empty())
    assert (answer.digits, answer.confidence, answer.found) == ("", (), False)


@pytest.mark.parametrize("digits", ["7", "17380", "123456"])
def test_a_number_is_read_back_at_its_address(digits: str, monkeypatch: pytest.MonkeyPatch):
    head = random_head()
    address = torch.nn.functional.normalize(torch.randn(1, OPTIONS.code), dim=-1)
    value = head.values([digits])
    parts = {GRAM: address.T @ address, CROSS: address.T @ value}
    monkeypatch.setattr(head, "asked", lambda _states, _segment: address[0])
    answer = head.answer(random_states(QUESTION), QUESTION, parts)
    assert (answer.digits, answer.found) == (digits, True)
    assert answer.confidence == pytest.approx([1 / (1 + OPTIONS.ridge)] * len(digits), abs=1e-3)
    unsure = {GRAM: parts[GRAM], CROSS: 0.4 * parts[CROSS]}
    answer = head.answer(random_states(QUESTION), QUESTION, unsure)
    assert (answer.digits, answer.found) == ("", False)
    assert len(answer.confidence) == len(digits)
