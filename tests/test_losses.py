"""The loss against its formula, number by number."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from jdcv_core.losses import sigmoid_mse
from jdcv_core.types import TARGETS

LOGITS_AND_TARGETS = st.lists(
    st.tuples(st.floats(-20, 20), st.sampled_from(TARGETS)), min_size=1, max_size=8
)


@given(LOGITS_AND_TARGETS)
def test_it_is_the_mean_squared_error_of_the_score(pairs):
    logits, targets = torch.tensor(pairs, dtype=torch.float64).T
    errors = [(1 / (1 + math.exp(-logit)) - target) ** 2 for logit, target in pairs]
    assert sigmoid_mse(logits, targets).item() == pytest.approx(sum(errors) / len(errors))
    # Turning fit into misfit turns logits round: the loss prefers no side.
    turned = sigmoid_mse(-logits, 1 - targets)
    torch.testing.assert_close(turned, sigmoid_mse(logits, targets))


@given(LOGITS_AND_TARGETS)
def test_its_gradient_is_that_of_the_formula(pairs):
    logits, targets = torch.tensor(pairs, dtype=torch.float64).T
    logits = logits.clone().requires_grad_()
    sigmoid_mse(logits, targets).backward()
    score = torch.sigmoid(logits.detach())
    expected = 2 * (score - targets) * score * (1 - score) / len(pairs)
    torch.testing.assert_close(logits.grad, expected)


def test_worked_numbers():
    assert sigmoid_mse(torch.zeros(2), torch.tensor([1.0, 0.5])).item() == 0.125
    certain = torch.tensor([-1e4, 0.0, 1e4])
    assert sigmoid_mse(certain, torch.tensor(TARGETS)).item() == 0
    assert sigmoid_mse(certain.flip(0), torch.tensor(TARGETS)).item() == pytest.approx(2 / 3)
