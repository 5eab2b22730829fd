"""What the best possible model can show on labels that are wrong now and then. Ours."""

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
    """The best figures on noisy labels of a model that knows the truth and how labels go wrong.

    A label is the truth with the probability `agreement`; else it is drawn from the other classes,
    all alike ("uniform") or the neighbours alone ("neighbour"). The model predicts a class for each
    true class; all 27 such maps (4 of two classes) are tried, for each figure on its own, and the
    expected confusion matrix is measured. So it is the limit for many pairs; with few, luck goes
    beyond.

    label_shares: of No, Potential and Good Fit, or of No and Good Fit, *among the labels*; the
                  shares of the truth are those that give them, or the nearest ones where none do
    agreement:    0 to 1
    Returns "macro_f1", "weighted_f1", "accuracy". Raises ValueError for shares that are no
    distribution, an agreement outside [0, 1], an unknown spread.

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
    """P(label | truth), [truth label]; both in order, of so many classes.

    >>> noise_matrix(0.8, "neighbour").round(2).tolist()
    [[0.8, 0.2, 0.0], [0.1, 0.8, 0.1], [0.0, 0.2, 0.8]]
    """
    if not 0 <= agreement <= 1:
        raise ValueError(f"the agreement must lie in [0, 1], got {agreement}")
    if spread not in ("uniform", "neighbour"):
        raise ValueError(f"there is no spread {spread!r}")
    distance = np.abs(np.subtract.outer(range(classes), range(classes)))
    others = (distance == 1) if spread == "neighbour" else (distance > 0)
    return agreement * np.eye(classes) + (1 - agreement) * others / others.sum(1, keepdims=True)


def agreement_from_kappa(kappa: float, label_shares: Sequence[float]) -> float:
    """The share of agreeing pairs of two raters with these shares and this kappa (Cohen 1960):
    chance + kappa (1 - chance), where chance is the sum of the squared shares.

    >>> agreement_from_kappa(0.0, [0.5, 0.25, 0.25])
    0.375
    """
    chance = float(np.square(label_shares).sum())
    return chance + kappa * (1 - chance)


def _truth_behind(shares: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """The distribution t for which t @ noise is nearest to the shares, by least squares; of several
    the most even one, if it is nowhere below 0."""
    found = np.linalg.lstsq(noise.T, shares, rcond=None)[0]
    if (found < -1e-9).any():
        weight = 1e4  # of the condition that the sum is 1
        rows = np.vstack([noise.T, np.full(len(shares), weight)])
        found = nnls(rows, np.append(shares, weight))[0]
    found[found < 1e-9] = 0  # a class that rounding has made has an F1, too
    return found / found.sum()
