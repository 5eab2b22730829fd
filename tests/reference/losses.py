"""Slow losses and scores of one item, computed from the probabilities of the three classes.

They share no code with the toolkit. `logits` is a list of numbers, `label` 0, 1 or 2.
"""

import math


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def above(objective, logits):
    """Return [P(y > 0), P(y > 1)] as the objective computes them from its logits."""
    if objective == "softmax":
        total = sum(math.exp(x) for x in logits)
        return [(math.exp(logits[1]) + math.exp(logits[2])) / total, math.exp(logits[2]) / total]
    first, second = (sigmoid(x) for x in logits)
    return [first, first * second] if objective == "corn" else [first, second]


def loss(objective, logits, label):
    if objective == "mse":
        return (sigmoid(logits[0]) - label / 2) ** 2
    if objective == "softmax":
        return math.log(sum(math.exp(x) for x in logits)) - logits[label]
    cost = 0.0
    for k, logit in enumerate(logits):
        if objective == "coral" or label > k - 1:
            cost -= math.log(sigmoid(logit) if label > k else sigmoid(-logit))
    return cost


def score(objective, logits):
    return sigmoid(logits[0]) if objective == "mse" else sum(above(objective, logits)) / 2
