"""Losses: functions of logits and labels, never of a model.

Each gives one value per item (but `sigmoid_mse`) and leaves the averaging to its caller, so that
sums over micro-batches and over processes add up exactly. An Objective is a loss with the score
that belongs to it.

Labels are int, indices into `types.LABELS`. With P(y > k) for the chance that the label is above k,
every score is the expected target, (P(y > 0) + P(y > 1)) / 2, so the scores of all objectives
estimate the same thing and one pair of cuts between classes serves them all.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from jdcv_core.types import LABELS, TARGETS

RANKS = len(LABELS) - 1
"""Number of the questions "is the label above k?", one for each k."""


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


def squared_error(
    logits: Float[Tensor, "item 1"], labels: Int[Tensor, " item"]
) -> Float[Tensor, " item"]:
    """(sigmoid(logit) - target) ** 2, whose mean is `sigmoid_mse`; targets: `types.TARGETS`.

    >>> squared_error(torch.zeros(3, 1), torch.tensor([0, 1, 2]))
    tensor([0.2500, 0.0000, 0.2500])

    Source: the prototype.
    """
    return (torch.sigmoid(logits[:, 0]) - logits.new_tensor(TARGETS)[labels]) ** 2


def softmax_cross_entropy(
    logits: Float[Tensor, "item 3"], labels: Int[Tensor, " item"]
) -> Float[Tensor, " item"]:
    """-log p[label] with p = softmax(logits), in nats; ignores the order of the classes.

    The loss depends only on the probability of the label, not on how the rest is divided among the
    other classes. Here p is 1/2, 1/4, 1/4:

    >>> softmax_cross_entropy(torch.tensor([[2.0, 1.0, 1.0]]).log(), torch.tensor([0]))
    tensor([0.6931])
    """
    return functional.cross_entropy(logits, labels, reduction="none")


def coral(logits: Float[Tensor, "item 2"], labels: Int[Tensor, " item"]) -> Float[Tensor, " item"]:
    """-sum over k of log P(y > k) if the label is above k, else log(1 - P(y > k)), in nats.

    logits: logit k is that of P(y > k). Ranks are consistent, P(y > 0) >= P(y > 1), only if the
        logits differ by biases alone: `scoring.MatchHead` with shared=True

    A distant error costs more than a near one, because it is wrong at both ranks. Here both
    chances are 0.9; a Potential Fit is wrong at one rank, a No Fit at both:

    >>> logits = torch.logit(torch.full((3, 2), 0.9))
    >>> coral(logits, torch.tensor([2, 1, 0]))
    tensor([0.2107, 2.4079, 4.6052])

    Equals coral_pytorch.losses.coral_loss with reduction=None.
    Source: Cao, Mirjalili & Raschka 2020, equation 4, with all importance weights 1.
    """
    return _rank_errors(logits, labels).sum(-1)


def corn(logits: Float[Tensor, "item 2"], labels: Int[Tensor, " item"]) -> Float[Tensor, " item"]:
    """-sum over k <= label of log q_k if the label is above k, else log(1 - q_k), in nats.

    logits: logit k is that of q_k = P(y > k | y > k - 1), so P(y > k) = q_0 ... q_k never rises
        with k, whatever the logits. An item belongs to task k only if its label is above k - 1

    This is -log P(y = label): q_0 = 0.5 and q_1 = 0.8 give the classes 0.5, 0.1 and 0.4. So, as
    for cross-entropy, the loss does not depend on how the rest is divided among the wrong classes;
    the order of the classes is in the meaning of the logits, not in the cost of an error.

    >>> logits = torch.logit(torch.tensor([[0.5, 0.8]])).expand(3, 2)
    >>> (-corn(logits, torch.tensor([0, 1, 2]))).exp()
    tensor([0.5000, 0.1000, 0.4000])

    The paper and coral_pytorch.losses.corn_loss average over all (item, task) that there are,
    which is the mean of ours over items, times items / (items in task 0 + items in task 1). That
    divisor changes with the labels in a batch, so micro-batches would not add up: ours counts
    every item once.
    Source: Shi, Cao & Raschka 2023, equation 5.
    """
    belongs = labels[:, None] >= torch.arange(RANKS, device=labels.device)
    return (_rank_errors(logits, labels) * belongs).sum(-1)


def _rank_errors(logits: Tensor, labels: Tensor) -> Tensor:
    """Binary cross-entropy [item rank] of "is the label above k?"; finite for finite logits."""
    above = labels[:, None] > torch.arange(RANKS, device=labels.device)
    return functional.binary_cross_entropy_with_logits(
        logits, above.to(logits.dtype), reduction="none"
    )


def sigmoid_score(logits: Float[Tensor, "*item 1"]) -> Float[Tensor, "*item"]:
    """sigmoid(logit)"""
    return torch.sigmoid(logits[..., 0])


def softmax_score(logits: Float[Tensor, "*item 3"]) -> Float[Tensor, "*item"]:
    """p[Potential] / 2 + p[Good]"""
    return (torch.softmax(logits, -1) * logits.new_tensor(TARGETS)).sum(-1)


def coral_score(logits: Float[Tensor, "*item 2"]) -> Float[Tensor, "*item"]:
    """(P(y > 0) + P(y > 1)) / 2, the mean of the sigmoids"""
    return torch.sigmoid(logits).mean(-1)


def corn_score(logits: Float[Tensor, "*item 2"]) -> Float[Tensor, "*item"]:
    """(q_0 + q_0 q_1) / 2, the chain rule"""
    return torch.sigmoid(logits).cumprod(-1).mean(-1)


@dataclass(frozen=True)
class Objective:
    """A loss, and how the score is read from the same logits.

    outputs: logits per item
    loss:    (logits [item outputs], labels int [item]) → [item]
    score:   logits [*item outputs] → expected target [*item], in [0, 1]
    shared:  the outputs may differ by their biases alone (`scoring.MatchHead`)

    Where the logits fit the shares of the classes best, the score is the mean target, for each
    objective. Logits of 0 say 1/3 for each class to softmax, and 1/2, 1/4, 1/4 to CORN:

    >>> {name: round(o.score(torch.zeros(o.outputs)).item(), 3) for name, o in OBJECTIVES.items()}
    {'mse': 0.5, 'softmax': 0.5, 'coral': 0.5, 'corn': 0.375}
    """

    outputs: int
    loss: Callable[[Tensor, Tensor], Tensor]
    score: Callable[[Tensor], Tensor]
    shared: bool = False


OBJECTIVES = {
    "mse": Objective(1, squared_error, sigmoid_score),
    "softmax": Objective(len(LABELS), softmax_cross_entropy, softmax_score),
    "coral": Objective(RANKS, coral, coral_score, shared=True),
    "corn": Objective(RANKS, corn, corn_score),
}
"""By the name that `scoring.MeanPairs` takes."""

NEED_THREE = ("coral", "corn")
"""Objectives that are another loss than cross-entropy only with three classes or more."""
