"""Parameter groups and learning rates, read from the optimiser."""

import pytest
import torch
from torch import nn

from jdcv_core.scoring import MeanPairs
from jdcv_core.training.optimizer import make_optimizer, rate_share, set_rate
from jdcv_core.training.settings import TrainingSettings


class Both(nn.Module):
    """An encoder of matrices, biases and a layer norm, and a scorer."""

    def __init__(self) -> None:
        super().__init__()
        self.module = nn.Sequential(nn.Embedding(9, 4), nn.Linear(4, 4), nn.LayerNorm(4))
        self.scorer = MeanPairs(4)


SETTINGS = TrainingSettings(steps=100, learning_rate=5e-6, head_factor=10, weight_decay=0.01)


def test_the_head_learns_ten_times_as_fast_and_only_matrices_decay():
    model = Both()
    optimizer = make_optimizer(model, SETTINGS)
    set_rate(optimizer, 9, SETTINGS)  # the last step of the warm-up
    names = {id(p): n for n, p in model.named_parameters()}
    found = {
        names[id(p)]: (group["lr"], group["weight_decay"])
        for group in optimizer.param_groups
        for p in group["params"]
    }
    assert found == {
        "module.0.weight": (5e-6, 0.01),
        "module.1.weight": (5e-6, 0.01),
        "module.1.bias": (5e-6, 0.0),
        "module.2.weight": (5e-6, 0.0),
        "module.2.bias": (5e-6, 0.0),
        "scorer.head.jd.weight": (pytest.approx(5e-5), 0.01),
        "scorer.head.cv.weight": (pytest.approx(5e-5), 0.01),
        "scorer.head.scale": (pytest.approx(5e-5), 0.0),
        "scorer.head.bias": (pytest.approx(5e-5), 0.0),
    }


def test_frozen_parameters_are_in_no_group():
    model = Both()
    model.module.requires_grad_(False)
    optimizer = make_optimizer(model, SETTINGS)
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    assert held == {id(p) for p in model.scorer.parameters()}


def test_the_decay_changes_only_matrices():
    """With a gradient of zero, AdamW changes only decaying weights: w → w (1 - rate · decay)."""
    model = Both()
    settings = TrainingSettings(steps=10, learning_rate=0.5, weight_decay=0.1, warmup=0.1)
    optimizer = make_optimizer(model, settings)
    set_rate(optimizer, 0, settings)
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for name, parameter in model.named_parameters():
        factor = 1 - 0.5 * 0.1 if parameter.ndim >= 2 else 1.0
        torch.testing.assert_close(parameter.detach(), before[name] * factor)


def test_the_rate_rises_linearly_and_falls_linearly_to_zero():
    settings = TrainingSettings(steps=50, warmup=0.2)
    shares = [rate_share(step, settings) for step in range(51)]
    assert shares[:10] == pytest.approx([(i + 1) / 10 for i in range(10)])
    assert max(shares) == shares[9] == shares[10] == 1.0
    falls = [a - b for a, b in zip(shares[10:50], shares[11:51], strict=True)]
    assert falls == pytest.approx([1 / 40] * 40)
    assert shares[50] == 0.0
