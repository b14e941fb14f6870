"""The loss by hand, and the queue of what earlier steps saw."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from models.fit.context import contrast as module
from models.fit.context.contrast import TEMPERATURE, Candidates, Queue, contrast


def _unit(count: int, seed: int) -> Tensor:
    return F.normalize(torch.randn(count, 4, generator=torch.Generator().manual_seed(seed)), dim=-1)


def _candidates(vectors: Tensor) -> Candidates:
    """Return two documents of three chunks; the second query has two answers."""
    gold = torch.zeros(3, 6, dtype=torch.bool)
    for query, place in ((0, 1), (1, 3), (1, 5), (2, 2)):
        gold[query, place] = True
    return Candidates(vectors, torch.tensor([0, 0, 0, 1, 1, 1]), gold, torch.tensor([0, 1, 0]))


def _by_hand(queries: Tensor, candidates: Candidates, earlier: Tensor, *, own: bool) -> float:
    """Return the mean over queries of the mean over answers of -log(e^right / (e^right + sum of e^wrong))."""
    losses = []
    for q, query in enumerate(queries):
        wrong = [
            math.exp((query @ vector).item() / TEMPERATURE)
            for c, vector in enumerate(candidates.vectors)
            if not candidates.gold[q, c]
            and (not own or candidates.documents[c] == candidates.asked[q])
        ]
        if not own:
            wrong += [math.exp((query @ vector).item() / TEMPERATURE) for vector in earlier]
        each = []
        for place in candidates.gold[q].nonzero().flatten():
            right = math.exp((query @ candidates.vectors[place]).item() / TEMPERATURE)
            each.append(-math.log(right / (right + sum(wrong))))
        losses.append(sum(each) / len(each))
    return sum(losses) / len(losses)


def test_the_loss_is_the_formula():
    queries, candidates, earlier = _unit(3, 0), _candidates(_unit(6, 1)), _unit(5, 2)
    found = contrast(queries, candidates, earlier)
    for name, own in (("sequence", True), ("batch", False)):
        expected = _by_hand(queries, candidates, earlier, own=own)
        assert found[name].item() == pytest.approx(expected, rel=1e-4)


def test_a_document_of_answers_alone_costs_nothing_and_spoils_no_gradient():
    vectors = _unit(6, 1).requires_grad_()
    gold = torch.tensor([[True, True, True, False, False, False]])
    candidates = Candidates(vectors, torch.tensor([0, 0, 0, 1, 1, 1]), gold, torch.tensor([0]))
    found = contrast(_unit(1, 0), candidates, torch.empty(0, 4))
    assert found["sequence"].item() == 0
    sum(found.values(), torch.zeros(())).backward()  # type: ignore[no-untyped-call] # torch
    assert vectors.grad is not None
    assert vectors.grad.isfinite().all()
    assert vectors.grad.abs().max() > 0


def test_a_queue_gives_other_documents_of_the_same_set():
    queue, vectors = Queue(4), _unit(4, 3)
    assert queue.others("a", torch.tensor([1])).shape == (0, 4)
    queue.add("a", vectors, torch.tensor([1, 1, 2, 3]))
    assert torch.equal(queue.others("a", torch.tensor([1, 3])), vectors[2:3])
    assert queue.others("b", torch.tensor([9])).shape == (0, 4)


def test_a_document_that_comes_again_replaces_what_is_kept_of_it():
    queue, old, new = Queue(4), _unit(3, 3), _unit(2, 4).requires_grad_()
    queue.add("a", old, torch.tensor([1, 2, 1]))
    queue.add("a", new, torch.tensor([1, 1]))
    kept = queue.others("a", torch.tensor([], dtype=torch.long))
    assert torch.equal(kept, torch.cat([old[1:2], new.detach()]))
    assert not kept.requires_grad


def test_the_oldest_leave_first(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "KEPT", 5)
    queue, vectors = Queue(4), _unit(8, 3)
    for i in range(4):
        queue.add("a", vectors[2 * i : 2 * i + 2], torch.tensor([i, i]))
    assert torch.equal(queue.others("a", torch.tensor([9])), vectors[3:])
    assert torch.equal(queue.others("a", torch.tensor([1])), vectors[4:])


def test_a_queue_comes_back_from_its_state():
    queue, again = Queue(4), Queue(4)
    queue.add("a", _unit(3, 3), torch.tensor([1, 2, 3]))
    again.load_state_dict(queue.state_dict())
    queue.add("a", _unit(1, 5), torch.tensor([4]))  # a state is a value: this changes the one alone
    assert torch.equal(again.others("a", torch.tensor([9])), _unit(3, 3))
