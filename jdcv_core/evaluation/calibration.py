"""Measure calibration: whether a score equals the expected target.

The targets are 0 for No Fit, 0.5 for Potential Fit and 1 for Good Fit.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from jdcv_core.evaluation.classification import as_labels
from jdcv_core.types import TARGETS


def brier(labels: ArrayLike, scores: ArrayLike) -> float:
    """Compute the mean of (score - target)²; for the targets 0 and 1 this is the Brier score.

    labels: int [pair], index into LABELS; scores: float [pair] in [0, 1]
    Raises ValueError for no pair, unequal lengths, an unknown label. Source: Brier 1950.

    >>> brier([0, 2], [0.5, 1.0])
    0.125
    """
    target, score = _both(labels, scores)
    return float(np.mean((score - target) ** 2))


def ece(labels: ArrayLike, scores: ArrayLike, bins: int = 10) -> float:
    """Compute the expected calibration error: Σ_b n_b / n · |mean score - mean target| over bins b.

    The bins hold equally many pairs: scores cluster, so most of ten bins of equal width would be
    empty. The error is never negative, so even perfectly calibrated scores have a positive error by
    chance: about √(2 bins variance of the target / (π n)). Arguments and errors are those of
    `brier`; bins < 1 raises ValueError, too.
    Source: Naeini, Cooper & Hauskrecht 2015, with the equal-mass bins of Nixon et al. 2019.
    """
    mean, target, count = reliability(labels, scores, bins).values()
    return float(np.sum(count * np.abs(mean - target)) / count.sum())


def reliability(labels: ArrayLike, scores: ArrayLike, bins: int = 10) -> dict[str, np.ndarray]:
    """Compute a reliability plot: the mean "score", mean "target" and "count" of each bin.

    The pairs are sorted by score and cut into `bins` parts of equal size. Pairs with equal scores
    stay in one bin, so there may be fewer bins. Arguments and errors are those of `ece`.
    """
    if bins < 1:
        raise ValueError(f"at least 1 bin is needed, got {bins}")
    target, score = _both(labels, scores)
    distinct, position = np.unique(score, return_inverse=True)
    middle = np.cumsum(np.bincount(position)) - np.bincount(position) / 2
    which = np.minimum((middle / len(score) * bins).astype(int), bins - 1)[position]
    count = np.bincount(which, minlength=bins)
    there = count > 0
    sums = (np.bincount(which, x, minlength=bins)[there] for x in (score, target))
    means = [total / count[there] for total in sums]
    return {"score": means[0], "target": means[1], "count": count[there]}


def _both(labels: ArrayLike, scores: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    target = np.array(TARGETS)[as_labels(labels)]
    score = np.asarray(scores, dtype=np.float64)
    if score.shape != target.shape:
        raise ValueError(f"{len(target)} labels and scores of shape {score.shape}")
    return target, score
