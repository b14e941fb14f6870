"""The ridge memory: exact for many addresses that look alike, and for any number of writes."""

import torch
import torch.nn.functional as F

from models.recall import RecallOptions
from models.recall.memory import add, part_shapes, read

OPTIONS = RecallOptions()


def empty() -> dict[str, torch.Tensor]:
    return {name: torch.zeros(shape) for name, shape in part_shapes(OPTIONS).items()}


def test_addresses_that_share_most_of_themselves_do_not_answer_for_each_other():
    torch.manual_seed(0)
    shared = torch.randn(OPTIONS.code)
    addresses = F.normalize(shared + 0.7 * torch.randn(64, OPTIONS.code), dim=-1)
    assert (addresses @ addresses.T).fill_diagonal_(0).mean() > 0.5
    values = F.one_hot(torch.randint(0, 88, (64,)), 88).float()
    votes = read(add(empty(), addresses, values, torch.ones(64)), addresses, OPTIONS.ridge)
    assert torch.equal(votes.argmax(-1), values.argmax(-1))
    assert (votes.amax(-1) > 0.8).all()


def test_a_million_writes_at_one_address_do_not_hide_another():
    addresses = F.normalize(
        torch.randn(2, OPTIONS.code, generator=torch.Generator().manual_seed(1)), dim=-1
    )
    values = torch.eye(2, 88)
    parts = add(empty(), addresses, values, torch.tensor([1e6, 1.0]))
    votes = read(parts, addresses, OPTIONS.ridge)
    assert torch.allclose(votes[:, :2], torch.eye(2), atol=0.05)


def test_weight_zero_writes_nothing():
    address, value = torch.ones(1, OPTIONS.code), torch.ones(1, 88)
    parts = add(empty(), address, value, torch.zeros(1))
    assert not any(part.any() for part in parts.values())
    assert sum(part.numel() for part in parts.values()) * 4 == 215_040
