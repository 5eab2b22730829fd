"""Contrastive losses equal those of the whole matrix and have the properties that they claim."""

import doctest
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from thorough import examples
from torch.nn.functional import normalize

from research.contrastive import contrastive_losses
from research.contrastive.contrastive_losses import (
    Temperature,
    alignment,
    contrastive_loss,
    nt_xent,
    uniformity,
)
from research.contrastive.known_fits import Contrast, views_of

SEEDS = st.integers(0, 2**32 - 1)


def naive_nt_xent(z, temperature):
    """Compute the prototype's formula term by term, with the whole matrix."""
    z = normalize(z, dim=-1)
    s = z @ z.T / temperature
    n, each = len(z) // 2, []
    for i in range(2 * n):
        j = (i + n) % (2 * n)
        below = sum(s[i, k].exp() for k in range(2 * n) if k != i)
        each.append(-(s[i, j].exp() / below).log())
    return torch.stack(each).mean()


def naive(z, contrast, temperature):
    """Compute the loss of each positive from its row of the whole matrix."""
    z = normalize(z, dim=-1)
    s = z[contrast.anchor] @ z[contrast.candidate].T / temperature
    never = {tuple(pair) for pair in contrast.excluded.tolist()}
    total = 0.0
    for (i, j), weight in zip(contrast.positive.tolist(), contrast.weight.tolist(), strict=True):
        row = [s[i, j]] + [s[i, k] for k in range(s.shape[1]) if (i, k) not in never]
        total = total + weight * (torch.logsumexp(torch.stack(row), 0) - s[i, j])
    return total / contrast.weight.double().sum()


def random_contrast(rng, rows):
    order = rng.permutation(rows).tolist()
    anchors, candidates = order[: rng.integers(1, rows)], rng.permutation(rows).tolist()
    pairs = [(i, j) for i in anchors for j in candidates if i != j]
    chosen = rng.permutation(len(pairs))[: rng.integers(2, 12)]
    positive = [pairs[c] for c in chosen[: max(1, len(chosen) // 2)]]
    excluded = [pairs[c] for c in chosen[len(chosen) // 2 :]]
    weight = rng.uniform(0.1, 2, len(positive)).tolist()
    return Contrast.of(anchors, candidates, positive, weight, excluded)


def gradient(loss, z, *arguments):
    z = z.detach().clone().requires_grad_()
    value = loss(z, *arguments)
    value.backward()
    return value.detach(), z.grad


@settings(max_examples=examples(8), deadline=None)
@given(SEEDS, st.integers(3, 14), st.integers(1, 20))
def test_tiles_equal_the_whole_matrix_forward_and_backward(seed, rows, tile):
    rng = np.random.default_rng(seed)
    z, contrast = torch.from_numpy(rng.normal(size=(rows, 5))), random_contrast(rng, rows)
    expected, to_z = gradient(naive, z, contrast, 0.3)
    found, ours = gradient(contrastive_loss, z, contrast, 0.3, tile)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(ours, to_z)


@settings(max_examples=examples(15), deadline=None)
@given(SEEDS, st.integers(2, 8), st.integers(1, 9))
def test_nt_xent_is_the_formula_term_by_term(seed, n, tile):
    z = torch.from_numpy(np.random.default_rng(seed).normal(size=(2 * n, 4)))
    expected, to_z = gradient(naive_nt_xent, z, 0.2)
    found, ours = gradient(nt_xent, z, 0.2, tile)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(ours, to_z)


def test_a_temperature_that_is_learned_gets_the_right_gradient():
    z, contrast = torch.randn(9, 4, dtype=torch.double), views_of(4)
    for loss in (naive, lambda *x: contrastive_loss(*x, tile=3)):
        t = torch.tensor(0.3, dtype=torch.double, requires_grad=True)
        loss(z[:8], contrast, t).backward()
        if loss is naive:
            expected = t.grad
    torch.testing.assert_close(t.grad, expected)


@pytest.mark.parametrize("n", [1, 2, 7, 100])
def test_equal_representations_cost_ln_of_the_number_of_candidates(n):
    z = torch.ones(2 * n, 3)
    assert nt_xent(z, 0.05, tile=16).item() == pytest.approx(math.log(2 * n - 1), abs=1e-6)
    one = Contrast.of([0], list(range(1, 2 * n)), [(0, 1)], [1.0], [])
    assert contrastive_loss(z, one, 0.05).item() == pytest.approx(math.log(2 * n - 1), abs=1e-6)


def test_the_hand_worked_example():
    assert doctest.testmod(contrastive_losses).failed == 0
    z = torch.tensor([[1.0, 0], [-1, 0], [0.5, math.sqrt(3) / 2], [-1, 0]])
    one = Contrast.of([0], [1, 2, 3], [(0, 2)], [1.0])
    assert contrastive_loss(z, one, 0.5).item() == pytest.approx(math.log(1 + 2 * math.exp(-3)))


def test_an_anchor_without_a_negative_costs_nothing_and_has_no_gradient():
    z = torch.randn(4, 3, dtype=torch.double)
    contrast = Contrast.of([0, 1], [2, 3], [(0, 2), (1, 3)], [1.0, 1.0], [(0, 3), (1, 2)])
    for tile in (1, 2, 9):
        value, to_z = gradient(contrastive_loss, z, contrast, 0.1, tile)
        assert value == 0
        assert torch.equal(to_z, torch.zeros_like(z))


def test_lengths_do_not_count_and_scores_of_any_size_are_finite():
    z = torch.randn(20, 4)
    value = nt_xent(z, 0.5)
    torch.testing.assert_close(nt_xent(z * torch.rand(20, 1).add(0.1), 0.5), value)
    found, to_z = gradient(nt_xent, z, 1e-4, 3)
    assert torch.isfinite(found)
    assert torch.isfinite(to_z).all()
    assert nt_xent(z.bfloat16(), 0.5).dtype == torch.float32


def test_a_weight_of_a_positive_equals_repeating_it():
    z = torch.randn(6, 4, dtype=torch.double)
    one = [Contrast.of([0, 1], [3, 4, 5], [pair], [1.0], [(0, 3), (1, 4)]) for pair in
           [(0, 3), (1, 4)]]  # fmt: skip
    both = Contrast.of([0, 1], [3, 4, 5], [(0, 3), (1, 4)], [3.0, 1.0])
    a, b = (contrastive_loss(z, c, 0.3) for c in one)
    torch.testing.assert_close(contrastive_loss(z, both, 0.3), (3 * a + b) / 4)


def test_a_learned_temperature_stays_between_its_bounds():
    t = Temperature(0.05, learned=True, low=0.01, high=1.0)
    assert t().item() == pytest.approx(0.05)
    optimizer = torch.optim.SGD(t.parameters(), 1e3)
    for sign in (1, -1):
        for _ in range(20):
            optimizer.zero_grad()
            (sign * t()).backward()
            optimizer.step()
            assert 0.01 - 1e-7 <= t().item() <= 1.0 + 1e-7
    assert not [p for p in Temperature(0.1).parameters() if p.requires_grad]
    for value in (0.01, 0.005, 1.0, 2.0):
        with pytest.raises(ValueError, match="between"):
            Temperature(value)


def test_alignment_and_uniformity_are_what_the_paper_says():
    z = torch.nn.functional.normalize(torch.randn(30, 4, dtype=torch.double), dim=-1)
    pairs = torch.tensor([[0, 1], [2, 5]])
    each = [(z[i] - z[j]).norm() ** 2 for i, j in pairs.tolist()]
    torch.testing.assert_close(alignment(z, pairs), sum(each) / 2)
    apart = [(z[i] - z[j]).norm() ** 2 for i in range(30) for j in range(i)]
    expected = torch.stack(apart).mul(-2).exp().mean().log()
    torch.testing.assert_close(uniformity(z), expected)
    assert uniformity(torch.ones(5, 3)).item() == pytest.approx(0, abs=1e-6)
    assert alignment(torch.ones(6, 3), pairs).item() == 0


def test_invalid_arguments_are_refused():
    z = torch.randn(4, 2)
    with pytest.raises(ValueError, match="at least 1 row"):
        nt_xent(z, 0.1, tile=0)
    with pytest.raises(ValueError, match="3 rows"):
        nt_xent(z[:3], 0.1)
    with pytest.raises(ValueError, match="no positive"):
        contrastive_loss(z, Contrast.of([0], [1], [], []), 0.1)
