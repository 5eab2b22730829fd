"""Turn scores into classes by two cuts, and measure how well the classes match the labels."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from sklearn.metrics import roc_auc_score

from jdcv_core.types import GOOD, LABELS, NO, POTENTIAL

NAMES = ("no", "potential", "good")
"""Names of the classes in the names of metrics."""
ABOVE_ALL = float(np.nextafter(1.0, 2.0))
"""A cut above every score, since no score exceeds 1."""


ALL = tuple(range(len(LABELS)))
NEED_THREE = ("f1_potential", "precision_potential", "recall_potential", "mae_classes", "distant")
"""Metrics that are undefined for two classes."""


def classes_of(labels: ArrayLike) -> tuple[int, ...]:
    """Find the classes of a task: (0, 2) if the labels are No Fit and Good Fit only, else all.

    >>> classes_of([0, 2, 2]), classes_of([0, 1])
    ((0, 2), (0, 1, 2))
    """
    there = np.unique(np.asarray(labels))
    return (NO, GOOD) if np.array_equal(there, (NO, GOOD)) else ALL


def tune_thresholds(
    scores: ArrayLike, labels: ArrayLike, classes: Sequence[int] | None = None
) -> tuple[float, float]:
    """Find the two cuts `low <= high` with the largest weighted F1 on these pairs.

    The search is exact. The candidates are 0, the midpoints between neighbouring distinct scores,
    and ABOVE_ALL; every pair of candidates is tried. It takes O(n²) time and O(n) memory for n
    distinct scores. If several pairs of cuts are best, the result is the pair whose positions among
    the candidates are nearest to the mean positions of them all, then the lower pair.
    With two classes there is one cut, so low = high. Use validation pairs only.

    scores:  float [pair] in [0, 1]
    labels:  int [pair], index into LABELS
    classes: (0, 2) for one cut, or all; None: `classes_of` the labels
    Returns (low, high) for `apply_thresholds`.
    Raises ValueError for no pair, unequal lengths, an unknown label, a score outside [0, 1].
    Source: ours.

    >>> tune_thresholds([0.1, 0.2, 0.5, 0.6, 0.9], [0, 0, 1, 1, 2])
    (0.35, 0.75)
    """
    s, y = _scores(scores), as_labels(labels)
    _same_length(s, y)
    distinct, position = np.unique(s, return_inverse=True)
    counts = np.zeros((len(distinct) + 1, len(LABELS)), dtype=np.int64)
    np.add.at(counts, (position + 1, y), 1)
    below = counts.cumsum(0)  # [cut label]: pairs below the cut, by label
    highs = 1 if POTENTIAL not in (classes or classes_of(y)) else len(below)  # tried for each low
    peaks = np.array([_weighted_f1_row(below, low)[:highs].max() for low in range(len(below))])
    best = peaks.max() - 1e-12  # equal fractions may differ in the last bit
    ties = np.array(
        [
            (low, low + step)
            for low in np.flatnonzero(peaks >= best).tolist()
            for step in np.flatnonzero(_weighted_f1_row(below, low)[:highs] >= best)
        ]
    )
    low, high = ties[np.argmin(((ties - ties.mean(0)) ** 2).sum(1))]
    cuts = _cuts(distinct)
    return float(cuts[low]), float(cuts[high])


def apply_thresholds(scores: ArrayLike, thresholds: tuple[float, float]) -> np.ndarray:
    """Turn scores into classes: No below `low`, Potential below `high`, Good from `high` on.

    scores: float [pair] in [0, 1]
    Returns (s >= low) + (s >= high), int [pair], index into LABELS.
    Raises ValueError if low > high or a score is outside [0, 1].

    >>> apply_thresholds([0.1, 0.35, 0.9], (0.35, 0.75))
    array([0, 1, 2])
    """
    low, high = thresholds
    if not low <= high:
        raise ValueError(f"the low cut {low} is above the high cut {high}")
    s = _scores(scores)
    return (s >= low).astype(np.int64) + (s >= high)


def classification_metrics(
    labels: ArrayLike,
    predicted: ArrayLike,
    scores: ArrayLike,
    classes: Sequence[int] | None = None,
) -> dict[str, float]:
    """Compute the classification metrics of one row of the table.

    labels:    int [pair], index into LABELS
    predicted: int [pair], index into LABELS
    scores:    float [pair] in [0, 1], higher = better fit
    classes:   classes of the task; None means `classes_of` the labels
    Returns the metrics of `confusion_metrics` and auc_good: the probability that a Good Fit scores
    above a pair with another label, where ties count half. auc_good is nan if there is no Good Fit
    or no other pair.
    Raises ValueError for no pair, unequal lengths, an unknown label, a score outside [0, 1].

    >>> figures = classification_metrics([0, 1, 1, 2], [0, 1, 2, 2], [0.1, 0.5, 0.7, 0.9])
    >>> {name: round(value, 3) for name, value in figures.items()}  # doctest: +NORMALIZE_WHITESPACE
    {'weighted_f1': 0.75, 'macro_f1': 0.778, 'f1_no': 1.0, 'f1_potential': 0.667, 'f1_good': 0.667,
     'qwk': 0.8, 'mae_classes': 0.25, 'distant': 0.0, 'precision_no': 1.0, 'recall_no': 1.0,
     'precision_potential': 1.0, 'recall_potential': 0.5, 'precision_good': 0.5,
     'recall_good': 1.0, 'auc_good': 1.0}
    """
    y, s = as_labels(labels), _scores(scores)
    _same_length(s, y)
    figures = confusion_metrics(confusion_matrix(y, predicted), classes or classes_of(y))
    good = y == GOOD
    auc = roc_auc_score(good, s) if 0 < good.sum() < len(good) else np.nan
    return {name: float(value) for name, value in (figures | {"auc_good": auc}).items()}


def within_group_auc(labels: ArrayLike, scores: ArrayLike, groups: ArrayLike) -> float:
    """Compute the AUC of Good Fit against other labels among pairs *of the same group*.

    It is the probability that a Good Fit scores above a pair of its group with another label, where
    ties count half. If the groups are CVs, it measures whether the scorer finds the JDs that a CV
    fits. A pooled AUC also rises if a scorer only knows which CVs are often a Good Fit; this AUC
    does not. Each group is weighted by its number of comparisons. Returns nan without comparisons.

    labels: int [pair]; scores: float [pair]; groups: [pair], anything that can be sorted
    Raises ValueError for no pair, unequal lengths, an unknown label, a score outside [0, 1].

    >>> within_group_auc([2, 0, 2, 0], [0.9, 0.8, 0.2, 0.1], ["a", "a", "b", "b"])
    1.0
    """
    y, s = as_labels(labels), _scores(scores)
    _same_length(s, y)
    group = np.unique(np.asarray(groups), return_inverse=True)[1]
    if len(group) != len(y):
        raise ValueError(f"{len(group)} groups for {len(y)} pairs")
    won = compared = 0.0
    for g in np.unique(group[y == GOOD]):
        good, other = (np.sort(s[(group == g) & kind]) for kind in (y == GOOD, y != GOOD))
        below, not_above = (np.searchsorted(other, good, side) for side in ("left", "right"))
        won += float((below + not_above).sum()) / 2
        compared += len(good) * len(other)
    return won / compared if compared else np.nan


def confusion_matrix(labels: ArrayLike, predicted: ArrayLike) -> np.ndarray:
    """Count the pairs with each label and predicted class, [label, predicted].

    Raises ValueError for no pair, unequal lengths or an unknown label.
    """
    y, p = as_labels(labels), as_labels(predicted)
    _same_length(p, y)
    k = len(LABELS)
    return np.bincount(k * y + p, minlength=k * k).reshape(k, k)


def confusion_metrics(matrix: np.ndarray, classes: Sequence[int] = ALL) -> dict[str, np.ndarray]:
    """Compute F1 and agreement of many confusion matrices at once (fast enough for a bootstrap).

    matrix:  counts [..., label, predicted]
    classes: of the task: all, or (0, 2) for No Fit and Good Fit alone; then what NEED_THREE names
             is nan, and qwk is Cohen's kappa
    Returns arrays [...]:
      f1_no, f1_potential, f1_good: 2 TP / (pairs with the label + pairs with the prediction), 0 if
           this is 0/0
      weighted_f1: mean of the three, weighted by the pairs with each label (as in the original)
      macro_f1:    unweighted mean over `classes`; a class without pairs counts as 0
      qwk: quadratic weighted kappa, 1 - Σ d² observed / Σ d² expected by chance, where d is the
           distance between the classes; 0 if this is 0/0, for example if there is only one class
      mae_classes: mean distance between the predicted class and the label, in classes, 0 to 2
      distant:     share of pairs predicted No for Good or Good for No
      precision_no, recall_no and those of potential and good: TP / pairs with the prediction, and
           TP / pairs with the label; 0 if this is 0/0
    All of them agree with scikit-learn at `zero_division=0`. Source: Cohen 1968 for qwk.
    """
    pairs = matrix.sum((-2, -1))
    actual, guessed = matrix.sum(-1), matrix.sum(-2)  # [..., label]
    hits = np.diagonal(matrix, axis1=-2, axis2=-1)
    f1 = _divide(2 * hits, actual + guessed)
    k = np.arange(len(LABELS))
    distance = abs(k[:, None] - k)
    squared = distance**2
    observed = (squared * matrix).sum((-2, -1)) * pairs
    expected = (squared * actual[..., :, None] * guessed[..., None, :]).sum((-2, -1))
    figures = {
        "weighted_f1": _divide((f1 * actual).sum(-1), pairs),
        "macro_f1": f1[..., list(classes)].mean(-1),
        "f1_no": f1[..., NO],
        "f1_potential": f1[..., POTENTIAL],
        "f1_good": f1[..., GOOD],
        "qwk": _divide(expected - observed, expected),
        "mae_classes": _divide((distance * matrix).sum((-2, -1)), pairs),
        "distant": _divide(matrix[..., NO, GOOD] + matrix[..., GOOD, NO], pairs),
        **_by_class(precision=_divide(hits, guessed), recall=_divide(hits, actual)),
    }
    if POTENTIAL not in classes:
        figures |= {name: np.full(np.shape(pairs), np.nan) for name in NEED_THREE}
    return figures


def as_labels(labels: ArrayLike) -> np.ndarray:
    """Convert labels to int64 [pair]. Raises ValueError for no label and for an unknown label."""
    y = np.asarray(labels)
    if len(y) == 0:
        raise ValueError("there are no pairs, so no metric is defined")
    if not np.isin(y, range(len(LABELS))).all():
        raise ValueError(f"labels must be 0 to {len(LABELS) - 1}, indices into {LABELS}")
    return y.astype(np.int64)


def _by_class(**figures: np.ndarray) -> dict[str, np.ndarray]:
    """Split metrics [..., label] into one array [...] per class, named {metric}_{class}."""
    return {
        f"{figure}_{name}": values[..., k]
        for k, name in enumerate(NAMES)
        for figure, values in figures.items()
    }


def _divide(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Compute a / b, or 0 where b is 0."""
    return np.divide(a, b, out=np.zeros(np.shape(b)), where=b != 0)


def _weighted_f1_row(below: np.ndarray, low: int) -> np.ndarray:
    """Compute the weighted F1 for the low cut at position `low` and each high cut from there on.

    below: counts [cut label] of the pairs below each cut. Returns [cut - low].
    """
    total, under_low, under_high = below[-1], below[low], below[low:]
    under = under_high.sum(1)
    hits = np.empty_like(under_high)  # [cut label]: pairs whose predicted class is their label
    hits[:, NO] = under_low[NO]
    hits[:, POTENTIAL] = under_high[:, POTENTIAL] - under_low[POTENTIAL]
    hits[:, GOOD] = total[GOOD] - under_high[:, GOOD]
    guessed = np.empty_like(under_high)
    guessed[:, NO] = under_low.sum()
    guessed[:, POTENTIAL] = under - under_low.sum()
    guessed[:, GOOD] = total.sum() - under
    return _divide(2.0 * hits, guessed + total) @ total / total.sum()


def _cuts(distinct: np.ndarray) -> np.ndarray:
    """Return the candidates for cuts: below all scores, between neighbours, above all."""
    left, right = distinct[:-1], distinct[1:]
    middle = (left + right) / 2
    middle = np.where(middle > left, middle, right)  # for neighbouring floats it may round down
    return np.concatenate([[0.0], middle, [ABOVE_ALL]])


def _scores(scores: ArrayLike) -> np.ndarray:
    s = np.asarray(scores, dtype=np.float64)
    if not ((s >= 0) & (s <= 1)).all():
        raise ValueError("scores must lie in [0, 1]; apply the sigmoid to logits first")
    return s


def _same_length(a: np.ndarray, b: np.ndarray) -> None:
    if a.shape != b.shape or a.ndim != 1:
        raise ValueError(f"one value per pair is needed, got shapes {a.shape} and {b.shape}")
