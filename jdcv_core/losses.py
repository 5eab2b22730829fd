"""Losses: functions of logits and targets, never of a model."""

import torch
from jaxtyping import Float
from torch import Tensor


def sigmoid_mse(
    logits: Float[Tensor, " pair"], targets: Float[Tensor, " pair"]
) -> Float[Tensor, ""]:
    """mean over pairs of (sigmoid(logit) - target) ** 2, the baseline's loss.

    logits:  of any size; the score is their sigmoid
    targets: in [0, 1]; of the three classes 0, 0.5 and 1 (`types.TARGETS`)

    A logit of 0 for a Good Fit costs 0.25, for a Potential Fit nothing:

    >>> sigmoid_mse(torch.zeros(2), torch.tensor([1.0, 0.5]))
    tensor(0.1250)

    Source: the prototype, which regressed the ordered classes because classifying ignores order.
    """
    return torch.mean((torch.sigmoid(logits) - targets) ** 2)
