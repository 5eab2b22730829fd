"""Muon against torch's, and what orthogonalisation means."""

import pytest
import torch
from torch import nn

from jdcv_core.encoding.muon import Muon, orthogonal

SHAPES = [(24, 72), (32, 32), (40, 8)]


def train(make, shapes, updates=6):
    """The matrices after some updates of a least-squares problem."""
    numbers = torch.Generator().manual_seed(3)
    weights = [nn.Parameter(torch.randn(shape, generator=numbers)) for shape in shapes]
    inputs = [torch.randn(16, shape[1], generator=numbers) for shape in shapes]
    optimizer = make(weights)
    for _ in range(updates):
        optimizer.zero_grad()
        loss = sum((x @ w.T).square().mean() for x, w in zip(inputs, weights, strict=True))
        loss.backward()
        optimizer.step()
    return weights


def test_muon_equals_torchs_in_bf16():
    ours = train(lambda w: Muon(w, 0.02, 0.1, torch.bfloat16), SHAPES)
    theirs = train(lambda w: torch.optim.Muon(w, 0.02, 0.1, adjust_lr_fn="match_rms_adamw"), SHAPES)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-6)


def test_fp32_differs_from_bf16_by_rounding_only():
    # An orthogonalised direction has entries of at most 1.2; bf16 has 8 bits, five rounds of it.
    for shape in SHAPES:
        matrix = torch.randn(shape, generator=torch.Generator().manual_seed(1))
        rounded = orthogonal(matrix, torch.bfloat16).float()
        assert (orthogonal(matrix) - rounded).abs().max() < 5 * 1.2 * 2**-6


@pytest.mark.parametrize("shape", SHAPES)
def test_orthogonal_keeps_singular_vectors_and_moves_singular_values_to_one(shape):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(2)).double()
    found = orthogonal(matrix, torch.float64)
    u, s, vh = torch.linalg.svd(matrix, full_matrices=False)
    inside = u.T @ found @ vh.T  # diagonal if the singular vectors are those of the matrix
    values = inside.diagonal()
    assert (inside - values.diag()).abs().max() < 1e-9
    large = s > 0.05 * s.norm()  # smaller ones need more than five rounds
    assert values[large].min() > 0.65
    assert values[large].max() < 1.25


def test_steps_do_not_depend_on_the_size_of_the_gradient():
    def steps(factor):
        weight = nn.Parameter(torch.zeros(6, 9))
        weight.grad = factor * torch.randn(6, 9, generator=torch.Generator().manual_seed(4))
        Muon([weight], 0.1, 0.0).step()
        return weight.detach()

    torch.testing.assert_close(steps(1.0), steps(1000.0))
    assert abs(steps(1.0).square().mean().sqrt() - 0.1 * 0.2 * 9**0.5 / 9**0.5) < 0.005
