"""Compute the best results that any model can reach on labels of which some are wrong. Ours."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Literal

import numpy as np
from scipy.optimize import nnls

from jdcv_core.evaluation.classification import ALL, confusion_metrics
from jdcv_core.types import GOOD, LABELS, NO

Spread = Literal["uniform", "neighbour"]


def noise_ceiling(
    label_shares: Sequence[float] | np.ndarray, agreement: float, spread: Spread = "uniform"
) -> dict[str, float]:
    """Compute the best metrics on noisy labels for a model that knows the truth and the noise.

    A label equals the true class with probability `agreement`; otherwise it is drawn from the other
    classes ("uniform") or from the neighbouring classes ("neighbour"). The model maps each true
    class to a prediction. All 27 maps (4 of two classes) are tried, for each metric separately, and
    the metric is computed from the expected confusion matrix. The result is the limit for many
    pairs; on few pairs, a model can exceed it by chance.

    label_shares: shares of No, Potential and Good Fit, or of No and Good Fit, *among the labels*.
                  The shares of the true classes are solved from them (the nearest solution if there
                  is no exact one)
    agreement:    probability in [0, 1]
    Returns "macro_f1", "weighted_f1", "accuracy". Raises ValueError for shares that are not a
    distribution, an agreement outside [0, 1], and an unknown spread.

    >>> round(noise_ceiling([0.5, 0.25, 0.25], 1.0)["macro_f1"], 3)
    1.0
    """
    shares = np.asarray(label_shares, dtype=float)
    if shares.shape not in ((2,), (3,)) or (shares < 0).any() or abs(shares.sum() - 1) > 1e-6:
        raise ValueError(f"label shares must be 2 or 3 numbers with sum 1, got {shares}")
    classes = ALL if len(shares) == 3 else (NO, GOOD)
    noise = noise_matrix(agreement, spread, len(shares))
    truth = _truth_behind(shares, noise)
    joint = truth[:, None] * noise  # [truth label]
    best = {"macro_f1": 0.0, "weighted_f1": 0.0, "accuracy": 0.0}
    for guess in product(classes, repeat=len(classes)):
        matrix = np.zeros((len(LABELS), len(LABELS)))  # [label predicted]
        for true, predicted in enumerate(guess):
            matrix[list(classes), predicted] += joint[true]
        found = confusion_metrics(matrix, classes) | {"accuracy": np.trace(matrix)}
        best = {name: max(value, float(found[name])) for name, value in best.items()}
    return best


def noise_matrix(
    agreement: float, spread: Spread = "uniform", classes: int = len(LABELS)
) -> np.ndarray:
    """Return P(label | truth), [truth label], of so many ordered classes.

    >>> noise_matrix(0.8, "neighbour").round(2).tolist()
    [[0.8, 0.2, 0.0], [0.1, 0.8, 0.1], [0.0, 0.2, 0.8]]
    """
    if not 0 <= agreement <= 1:
        raise ValueError(f"the agreement must lie in [0, 1], got {agreement}")
    if spread not in ("uniform", "neighbour"):
        raise ValueError(f"spread {spread!r} is unknown: give uniform or neighbour")
    distance = np.abs(np.subtract.outer(range(classes), range(classes)))
    others = (distance == 1) if spread == "neighbour" else (distance > 0)
    return agreement * np.eye(classes) + (1 - agreement) * others / others.sum(1, keepdims=True)


def agreement_from_kappa(kappa: float, label_shares: Sequence[float]) -> float:
    """Compute the share of pairs on which two raters agree from their kappa (Cohen 1960).

    It is chance + kappa (1 - chance), where chance is the sum of the squared label shares.

    >>> agreement_from_kappa(0.0, [0.5, 0.25, 0.25])
    0.375
    """
    chance = float(np.square(label_shares).sum())
    return chance + kappa * (1 - chance)


def _truth_behind(shares: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Find the distribution t for which t @ noise is nearest to the shares, by least squares.

    If there are several solutions, the most even one is returned unless it has negative shares.
    """
    found = np.linalg.lstsq(noise.T, shares, rcond=None)[0]
    if (found < -1e-9).any():
        weight = 1e4  # of the equation that says that the shares sum to 1
        rows = np.vstack([noise.T, np.full(len(shares), weight)])
        found = nnls(rows, np.append(shares, weight))[0]
    found[found < 1e-9] = 0  # remove rounding errors: such a class would have an F1
    return found / found.sum()
