"""Whether a difference may be called one: permutation test, Holm, the smallest that can be seen."""

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
    """Two-sided p-values for metric(variant) - metric(baseline): metric → p.

    H0: within each JD the predictions of the two systems are exchangeable. One permutation swaps
    them in about half of the JDs; a JD's pairs are swapped together, in every seed that tested it.
    p = (1 + permutations whose |difference| is no smaller) / (1 + permutations). nan where the
    metric is undefined.

    Classes and nDCG are swapped as they are. A pooled AUC compares scores across JDs, and two
    systems' scores have two scales, so each is replaced by its rank within (seed, system) first;
    that changes neither system's own AUC. The ranks of a JD hang a little on the other JDs, so for
    the two AUCs exchangeability holds nearly and not exactly. Of an AUC the swapped difference is
    linear in the swaps (see `_won_by_jd`); F1 and kappa are computed from each swapped confusion
    matrix.

    What it does not see: H0 is about JDs, for these trainings. Where seeds differ by more than
    their JDs explain, a variant whose five trainings were lucky is different *here*, and p is small
    although new seeds would show nothing. `compare` therefore also asks for an interval over seeds
    and JDs that excludes 0.

    variant, baseline: tables with the same rows, see `paired_bootstrap`, which also has the errors
    Source: Fisher 1935; Smucker, Allan & Carterette 2007 for systems on the same queries.
    """
    check_compared(metrics)
    a, b = sorted_columns(variant), sorted_columns(baseline)
    check_same_rows(a, b)
    signs = draw_signs(codes(a)[2][1], permutations, random_seed)
    exchanged = swapped(a, b, metrics, signs, k)
    return {metric: permutation_p(values) for metric, values in exchanged.items()}


def draw_signs(jds: int, permutations: int, random_seed: int) -> np.ndarray:
    """[1 + permutation, jd]: 1 leaves a JD as it is, -1 swaps it; the first row swaps none."""
    drawn = np.random.default_rng(random_seed).integers(0, 2, (permutations, jds))
    return np.concatenate([np.ones((1, jds)), 2.0 * drawn - 1])


def swapped(
    a: Columns, b: Columns, metrics: Sequence[str], signs: np.ndarray, k: int
) -> dict[str, np.ndarray]:
    """Metric → the difference [permutation], seeds averaged, with the JDs swapped by `signs`."""
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
    """p of the first value among the permuted others. Equal ones may differ in the last bits."""
    if np.isnan(values[0]):
        return np.nan
    as_large = (np.abs(values[1:]) >= abs(values[0]) - 1e-12).sum()
    return float((1 + as_large) / len(values))


def holm(p: Mapping[str, float]) -> dict[str, float]:
    """p-values adjusted so that any below 0.05 is a discovery with a 5% chance of even one mistake.

    The i-th smallest of m becomes max over h <= i of min(1, (m - h + 1) p_h). A nan stays nan and
    does not count in m. Source: Holm 1979.

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
    """The smallest true difference that data with this standard error finds with this power.

    (t_{1 - (1 - level) / (2 comparisons)} + t_power) · se, with t at `df` degrees of freedom
    (infinite: the normal distribution). `comparisons` is the number of rows under test: the first
    step of Holm. nan for a nan. Source: Cohen 1988, section 2.4, with the t approximation.

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
    """What the table says of a row.

    "tie" where the interval includes 0 (or there is none), "tie (Holm)" where it does not but
    p_holm is not below 1 - level, else "better" or "worse": by a larger figure, or by a smaller one
    where the metric says that lower is better. A nan p_holm marks a row that is no hypothesis (a
    floor); then the interval decides alone.

    difference: with "low" and "high"
    """
    low, high = difference["low"], difference["high"]
    if not (low > 0 or high < 0):
        return "tie"
    if p_holm + level > 1 - 1e-12:  # 1 - 0.95 is a little more than 0.05
        return "tie (Holm)"
    lower = metric in METRICS and METRICS[metric].lower_is_better
    return "better" if (low > 0) != lower else "worse"


def _won_by_jd(a: Columns, b: Columns, metric: str) -> tuple[np.ndarray, np.ndarray]:
    """What each JD adds to the difference of AUCs [seed jd], and the comparisons [seed].

    Let w(x, y) be 1, 1/2 or 0 as x wins, ties or loses, sums over comparisons of a Good Fit g with
    another o, and z = ±1 the sign of a pair's JD. With the JDs swapped by z the wins of one system
    minus those of the other are Σ z_g G_go + z_o O_go with
        G = (w(a_g, a_o) + w(a_g, b_o) - w(b_g, a_o) - w(b_g, b_o)) / 2
        O = (w(a_g, a_o) - w(a_g, b_o) + w(b_g, a_o) - w(b_g, b_o)) / 2
    since what is quadratic in z cancels. So a JD's share is one number, however others are swapped.
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
        # An other is beaten by the goods that it does not beat.
        lost = wins_against(y[o], goods) - wins_against(x[o], goods)
        np.add.at(won[seed], j[g], gained / 2)
        np.add.at(won[seed], j[o], lost / 2)
        total[seed] = len(g) * len(o)
    return won, total


def _ranks(rows: Columns, s: np.ndarray) -> np.ndarray:
    """Each score's rank among those of its seed, ties sharing the mean rank, [row]."""
    ranks = np.empty(len(s))
    for seed in np.unique(s):
        ranks[s == seed] = rankdata(rows["score"][s == seed])
    return ranks
