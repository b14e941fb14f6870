"""Figures of memories against what is known of simple matrices."""

import pytest
import torch

from models.memory.figures import norms, spectra


def test_norms_keep_the_axes_that_are_asked_for():
    part = torch.arange(24, dtype=torch.float32).reshape(2, 3, 4)
    torch.testing.assert_close(norms(part, 0), part.double().norm())
    torch.testing.assert_close(norms(part, 1), part.double().flatten(1).norm(dim=1))
    torch.testing.assert_close(norms(part, 2), part.double().norm(dim=-1))
    torch.testing.assert_close(norms(part, 3), part.double())


@pytest.mark.parametrize("scale", [1.0, 1e-30, 1e30])
def test_one_direction_has_rank_one_and_many_equal_ones_their_number(scale):
    draw = torch.Generator().manual_seed(0)
    one = torch.outer(*torch.randn(2, 8, generator=draw)) * scale
    orthogonal = torch.linalg.qr(torch.randn(8, 8, generator=draw))[0] * scale
    three = torch.diag(torch.tensor([1.0, 1.0, 1.0, 0, 0, 0, 0, 0])) * scale
    rank, saturation = spectra(torch.stack([one, orthogonal, three]))
    torch.testing.assert_close(rank, torch.tensor([1.0, 8.0, 3.0]).double(), atol=1e-4, rtol=0)
    expected = torch.tensor([1.0, 1 / 8, 1 / 3]).double()
    torch.testing.assert_close(saturation, expected, atol=1e-5, rtol=0)


def test_nothing_has_no_direction():
    rank, saturation = spectra(torch.zeros(2, 3, 4, 5))
    assert rank.shape == saturation.shape == (2, 3)
    assert not rank.any()
    assert not saturation.any()


def test_a_larger_part_of_one_direction_is_more_saturated_and_of_lower_rank():
    base = torch.eye(6)
    even, odd = base.clone(), base.clone()
    odd[0, 0] = 10.0
    rank, saturation = spectra(torch.stack([even, odd]))
    assert rank[0] > rank[1] > 1
    assert saturation[0] < saturation[1] < 1
