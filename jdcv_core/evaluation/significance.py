"""Decide whether a difference is significant: permutation test, Holm, detectable difference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.stats import rankdata, t

from jdcv_core.evaluation.classification import GOOD, classes_of, confusion_metrics
from jdcv_core.evaluation.metrics import COMPARED, METRICS, check_compared
from jdcv_core.evaluation.resampling import (
    ON_CLASSES,
    Columns,
    Predictions,
    check_same_rows,
    codes,
    confusion_cells,
    mean_over_seeds,
    ndcg_cells,
    same_cv_comparisons,
    sorted_columns,
    wins_against,
    wins_of,
)


def paired_permutation(
    variant: Predictions,
    baseline: Predictions,
    *,
    metrics: Sequence[str] = COMPARED,
    permutations: int = 2000,
    random_seed: int = 0,
    k: int = 10,
) -> dict[str, float]:
    """Compute two-sided p-values for metric(variant) - metric(baseline): metric → p.

    H0: within each JD, the predictions of the two systems are exchangeable. A permutation swaps the
    systems in about half of the JDs; a JD's pairs are swapped together, in every seed that tested
    it. p = (1 + number of permutations with at least the same |difference|) / (1 + permutations).
    p is nan if the metric is undefined.

    Classes and nDCG are swapped unchanged. A pooled AUC compares scores across JDs, and the scores
    of two systems have different scales, so each score is first replaced by its rank within (seed,
    system); this does not change a system's AUC. The ranks of a JD depend slightly on the other
    JDs, so for the two AUCs exchangeability holds only approximately. The difference of AUCs is
    linear in the swaps (see `_won_by_jd`); F1 and kappa are computed from each swapped confusion
    matrix.

    H0 is about JDs, for the given trainings. If seeds differ by more than their JDs explain, a
    variant may be better in the given trainings by chance; p is then small although new seeds would
    show no difference. Therefore `compare` also requires that an interval over seeds and JDs
    excludes 0.

    variant, baseline: tables with the same rows; see `paired_bootstrap`, also for the errors
    Source: Fisher 1935; Smucker, Allan & Carterette 2007 for systems on the same queries.
    """
    check_compared(metrics)
    a, b = sorted_columns(variant), sorted_columns(baseline)
    check_same_rows(a, b)
    signs = draw_signs(codes(a)[2][1], permutations, random_seed)
    exchanged = swapped(a, b, metrics, signs, k)
    return {metric: permutation_p(values) for metric, values in exchanged.items()}


def draw_signs(jds: int, permutations: int, random_seed: int) -> np.ndarray:
    """Draw signs [1 + permutation, jd]: -1 swaps a JD, 1 does not; the first row swaps none."""
    drawn = np.random.default_rng(random_seed).integers(0, 2, (permutations, jds))
    return np.concatenate([np.ones((1, jds)), 2.0 * drawn - 1])


def swapped(
    a: Columns, b: Columns, metrics: Sequence[str], signs: np.ndarray, k: int
) -> dict[str, np.ndarray]:
    """Compute each metric's difference, averaged over seeds, with JDs swapped: [permutation]."""
    found: dict[str, np.ndarray] = {}
    on_classes = [metric for metric in metrics if metric in ON_CLASSES]
    if on_classes:
        cells = confusion_cells(a), confusion_cells(b)
        middle, half = (cells[0] + cells[1]).sum(1) / 2, (cells[0] - cells[1]) / 2
        moved = np.tensordot(signs, half, (1, 1))  # [permutation seed 3 3]
        classes = classes_of(a["label"])
        one, other = (confusion_metrics(m, classes) for m in (middle + moved, middle - moved))
        found = {metric: (one[metric] - other[metric]).mean(1) for metric in on_classes}
    for metric in set(metrics) - set(on_classes):
        if metric == "ndcg":
            won = ndcg_cells(a, k) - ndcg_cells(b, k)  # [seed jd]
            total = (~np.isnan(won)).sum(1)
            won = np.nan_to_num(won)
        else:
            won, total = _won_by_jd(a, b, metric)
        with np.errstate(invalid="ignore"):
            found[metric] = mean_over_seeds(signs @ won.T / total)
    return {metric: found[metric] for metric in metrics}


def permutation_p(values: np.ndarray) -> float:
    """Compute p of the first value among the permuted ones; equal values may differ by rounding."""
    if np.isnan(values[0]):
        return np.nan
    as_large = (np.abs(values[1:]) >= abs(values[0]) - 1e-12).sum()
    return float((1 + as_large) / len(values))


def holm(p: Mapping[str, float]) -> dict[str, float]:
    """Adjust p-values for multiple tests: the family-wise error rate of p < 0.05 is at most 5%.

    The i-th smallest of m p-values becomes max over h <= i of min(1, (m - h + 1) p_h). A nan stays
    nan and does not count in m. Source: Holm 1979.

    >>> holm({"a": 0.01, "b": 0.04, "c": 0.03})
    {'a': 0.03, 'b': 0.06, 'c': 0.06}
    """
    adjusted, highest = dict(p), 0.0
    known = sorted((name for name in p if not np.isnan(p[name])), key=lambda name: p[name])
    for place, name in enumerate(known):
        highest = max(highest, min(1.0, (len(known) - place) * p[name]))
        adjusted[name] = highest
    return adjusted


def detectable(
    se: float, power: float = 0.8, level: float = 0.95, df: float = np.inf, comparisons: int = 1
) -> float:
    """Compute the smallest true difference that a test with this standard error and power finds.

    It is (t_{1 - (1 - level) / (2 comparisons)} + t_power) · se, with t at `df` degrees of freedom
    (infinite: the normal distribution). `comparisons` is the number of rows under test, as in the
    first step of Holm. Returns nan for a nan. Source: Cohen 1988, section 2.4, with t for normal.

    >>> round(detectable(0.01), 4)
    0.028
    """
    if np.isnan(se):
        return np.nan
    found = t.ppf(1 - (1 - level) / (2 * comparisons), df) + t.ppf(power, df)
    return float(found * se)


def verdict(
    difference: Mapping[str, float], p_holm: float, metric: str = "", level: float = 0.95
) -> str:
    """Return the verdict on a row.

    The verdict is "tie" if the interval includes 0 or is undefined, and "tie (Holm)" if it excludes
    0 but p_holm is not below 1 - level. Otherwise it is "better" or "worse"; for some metrics, a
    smaller value is better. If p_holm is nan, the row is not a hypothesis (but a floor), and only
    the interval decides.

    difference: mapping with "low" and "high"
    """
    low, high = difference["low"], difference["high"]
    if not (low > 0 or high < 0):
        return "tie"
    if p_holm + level > 1 - 1e-12:  # 1 - 0.95 is a little more than 0.05
        return "tie (Holm)"
    lower = metric in METRICS and METRICS[metric].lower_is_better
    return "better" if (low > 0) != lower else "worse"


def _won_by_jd(a: Columns, b: Columns, metric: str) -> tuple[np.ndarray, np.ndarray]:
    """Compute each JD's part of the difference of AUCs, [seed jd], and the comparisons, [seed].

    Let w(x, y) be 1, 1/2 or 0 if x wins, ties or loses; let each sum run over comparisons of a Good
    Fit g with another pair o; and let z = ±1 be the sign of a pair's JD. If JDs are swapped by z,
    the wins of one system minus the wins of the other are Σ z_g G_go + z_o O_go with
        G = (w(a_g, a_o) + w(a_g, b_o) - w(b_g, a_o) - w(b_g, b_o)) / 2
        O = (w(a_g, a_o) - w(a_g, b_o) + w(b_g, a_o) - w(b_g, b_o)) / 2
    because terms that are quadratic in z cancel. So each JD's part is one number that does not
    depend on which other JDs are swapped.
    """
    s, j, shape = codes(a)
    x, y = _ranks(a, s), _ranks(b, s)
    won, total = np.zeros(shape), np.zeros(shape[0])
    if metric == "auc_within_cv":
        g, o = same_cv_comparisons(a)
        same = wins_of(x[g], x[o]), wins_of(y[g], y[o])
        cross = wins_of(x[g], y[o]), wins_of(y[g], x[o])
        np.add.at(won, (s[g], j[g]), (same[0] + cross[0] - cross[1] - same[1]) / 2)
        np.add.at(won, (s[o], j[o]), (same[0] - cross[0] + cross[1] - same[1]) / 2)
        np.add.at(total, s[g], 1)
        return won, total
    good = a["label"] == GOOD
    for seed in range(shape[0]):
        g, o = np.flatnonzero((s == seed) & good), np.flatnonzero((s == seed) & ~good)
        others, goods = np.concatenate([x[o], y[o]]), np.concatenate([x[g], y[g]])
        gained = wins_against(x[g], others) - wins_against(y[g], others)
        # Each other pair loses to the Good Fits whose score it does not exceed.
        lost = wins_against(y[o], goods) - wins_against(x[o], goods)
        np.add.at(won[seed], j[g], gained / 2)
        np.add.at(won[seed], j[o], lost / 2)
        total[seed] = len(g) * len(o)
    return won, total


def _ranks(rows: Columns, s: np.ndarray) -> np.ndarray:
    """Rank each score among the scores of its seed, [row]; ties get their mean rank."""
    ranks = np.empty(len(s))
    for seed in np.unique(s):
        ranks[s == seed] = rankdata(rows["score"][s == seed])
    return ranks
