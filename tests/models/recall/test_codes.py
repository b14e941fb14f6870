"""Token codes: the same everywhere, of length 1, and nearly orthogonal."""

import pytest
import torch

from models.recall.codes import token_codes


def test_codes_are_what_a_plain_splitmix_finaliser_gives():
    mask, width = (1 << 64) - 1, 8

    def sign(token: int, place: int) -> int:
        x = ((token * width + place + 1) * 0x9E3779B97F4A7C15) & mask
        x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & mask
        x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & mask
        return 1 if x >> 63 else -1

    ids = torch.tensor([0, 7, 30521])
    wanted = torch.tensor([[sign(i, place) for place in range(width)] for i in ids.tolist()])
    assert torch.allclose(token_codes(ids, width), wanted / width**0.5)


def test_codes_keep_the_shape_of_the_ids_and_have_length_1():
    ids = torch.tensor([[3, 4, 3], [5, 5, 4]])
    codes = token_codes(ids, 192)
    assert codes.shape == (2, 3, 192)
    assert torch.allclose(codes.norm(dim=-1), torch.ones(2, 3))
    assert torch.equal(codes[0, 0], codes[0, 2])
    assert not torch.equal(codes[0, 0], codes[0, 1])


def test_codes_of_different_tokens_are_nearly_orthogonal():
    codes = token_codes(torch.arange(1000, 3000), 192)
    products = (codes @ codes.T)[~torch.eye(2000, dtype=torch.bool)]
    assert products.mean().item() == pytest.approx(0, abs=1e-3)
    assert products.std().item() == pytest.approx(192**-0.5, rel=0.02)
    assert products.abs().max() < 0.5
