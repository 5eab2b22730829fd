"""Intervals over new JDs and new seeds, for the figures of one row and for differences of two.
Ours, after Efron 1979 and Cameron, Gelbach & Miller 2011.

Predictions come as a mapping from column name to an array [row], with the columns of COLUMNS. A row
is one test pair under one seed, as in `predictions.parquet`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import t

from jdcv_core.evaluation.metrics import COMPARED, METRICS, check_compared
from jdcv_core.evaluation.resampling import (
    Columns,
    Predictions,
    check_same_rows,
    codes,
    draw_counts,
    figures,
    mean_over_seeds,
    sorted_columns,
)

LEAST = 0.75
"""The variance is never taken below this share of the variance over resampled JDs."""


def spread(values: Sequence[float]) -> tuple[float, float]:
    """Mean and sample standard deviation (n - 1) over seeds; the latter is nan for one value.

    A nan among the values makes both nan: a seed without a figure is shown, not hidden.

    >>> spread([1.0, 2.0, 3.0])
    (2.0, 1.0)
    """
    x = np.asarray(values, dtype=np.float64)
    if len(x) == 0:
        raise ValueError("no values to average")
    return float(x.mean()), float(x.std(ddof=1)) if len(x) > 1 else np.nan


def paired_bootstrap(
    variant: Predictions,
    baseline: Predictions,
    *,
    metrics: Sequence[str] = COMPARED,
    replicates: int = 2000,
    random_seed: int = 0,
    level: float = 0.95,
    k: int = 10,
) -> dict[str, dict[str, float]]:
    """Intervals for metric(variant) - metric(baseline), over new JDs and new seeds.

    What the interval should hold: the difference to be expected from a new draw of as many seeds
    (with their splits and trainings) and as many JDs. With one seed: of as many JDs, for this one
    training; what another seed would give is then left out.

    The JD is the unit of resampling. One replicate draws the JDs with replacement; a drawn JD
    brings all its pairs, in every seed that tested it and for both variants. The metric is taken on
    each seed, which may have tested other JDs, and averaged over the seeds. A seed whose draw
    leaves the metric undefined is left out of that average. What seeds add to the variance of these
    replicates, and the degrees of freedom: `Estimate.of`. The interval is difference ± t · se.

    How far to trust it (benchmarks/statistics.py measures it): it holds the truth in 94 to 97% of
    simulated comparisons with 5 or 10 seeds, whether seeds differ or not. With 3 seeds that differ
    by more than their JDs explain it holds it in 92 to 95%: three numbers say little about a
    variance.

    variant, baseline: tables with the COLUMNS seed, jd, cv (any sortable type), label and
        predicted (index into LABELS), score (higher = better fit); the same (seed, jd, cv) rows
        in both, in any order
    metrics:     names out of metrics.COMPARED
    replicates:  number of resamples, the same ones for every metric
    random_seed: same seed, same tables: same interval
    level:       probability that the interval should hold
    k:           ranks that count in ndcg
    Returns metric → {"difference": on all rows, averaged over seeds, "low": …, "high": …, "se": its
    standard error, "df": degrees of freedom}. Two identical variants give a difference, low, high
    and se of exactly 0. All are nan if the metric is undefined, all but the difference if there is
    one JD alone.
    Raises ValueError for a missing column, rows that do not match or occur twice, an unknown label
    or metric, a score that is nan.
    Source: Efron 1979, clustered; the variance by inclusion and exclusion after Cameron, Gelbach &
    Miller 2011, its degrees of freedom after Satterthwaite 1946.
    """
    check_compared(metrics)
    a, b = sorted_columns(variant), sorted_columns(baseline)
    check_same_rows(a, b)
    counts = resampled_counts(a, replicates, random_seed)
    ours, theirs = (figures(rows, metrics, counts, k) for rows in (a, b))
    found = {
        metric: Estimate.of(ours[metric] - theirs[metric], *equal_jds(a)) for metric in metrics
    }
    return {metric: {"difference": f.value, **f.interval(level)} for metric, f in found.items()}


def bootstrap(
    variant: Predictions,
    *,
    metrics: Sequence[str] = COMPARED,
    replicates: int = 2000,
    random_seed: int = 0,
    level: float = 0.95,
    k: int = 10,
) -> dict[str, dict[str, float]]:
    """Intervals for the metrics of one variant alone, resampled as `paired_bootstrap` does and cut
    at the ends of the metric's range; with the predictions of one seed they are over JDs, for that
    one training.

    Returns metric → {"value": on all rows, "low": …, "high": …, "se": …, "df": …}, nan where
    undefined. Arguments and errors are those of `paired_bootstrap`.
    """
    check_compared(metrics)
    rows = sorted_columns(variant)
    values = figures(rows, metrics, resampled_counts(rows, replicates, random_seed), k)
    result = {}
    for metric in metrics:
        found = Estimate.of(values[metric], *equal_jds(rows))
        interval = found.interval(level)
        least, most = METRICS[metric].low, METRICS[metric].high
        ends = {end: float(np.clip(interval[end], least, most)) for end in ("low", "high")}
        result[metric] = {"value": found.value, **interval, **ends}
    return result


def query_difference(
    ours: np.ndarray,
    theirs: np.ndarray,
    replicates: int = 2000,
    random_seed: int = 0,
    level: float = 0.95,
) -> dict[str, float]:
    """The interval of `paired_bootstrap` for a figure that each query has by itself, as recall@k of
    each JD: the difference of its means over queries, averaged over seeds.

    ours, theirs: float [seed query]; nan where the seed did not test the query or the figure is
                  undefined, in the same places of both
    Returns difference, low, high, se, df. Raises ValueError for unequal shapes or places.
    """
    defined = ~np.isnan(ours)
    if ours.shape != theirs.shape or not np.array_equal(defined, ~np.isnan(theirs)):
        raise ValueError("both need a figure for the same seeds and queries")
    queries = ours.shape[1]
    ones = np.ones((1, queries))
    counts = np.concatenate([ones, draw_counts(queries, replicates, random_seed)])
    with np.errstate(invalid="ignore"):
        each = [counts @ np.nan_to_num(x).T / (counts @ defined.T) for x in (ours, theirs)]
        share = np.nanmean(defined / defined.sum(1, keepdims=True), axis=0)
    found = Estimate.of(each[0] - each[1], queries, float(1 / (share**2).sum()))
    return {"difference": found.value, **found.interval(level)}


@dataclass(frozen=True)
class Estimate:
    """A figure averaged over seeds, its standard error and degrees of freedom."""

    value: float
    se: float
    df: float
    df_cautious: float
    """As `df`, but what seeds say always counts as the few numbers that they are. Holm reads the
    far tail, where `df` finds too much if seeds differ about as much as their JDs explain."""

    @classmethod
    def of(cls, values: np.ndarray, jds: int, independent: float) -> Estimate:
        """From a figure on each seed, [1 + replicate, seed]; the first row is that on all JDs.

        jds: how many there are; independent: as how many equal ones they count

        The replicates f_rs resample JDs alone. With J JDs and S seeds
            V_jd = J / (J - 1) · variance over r of the mean over s of f_rs
            own  = J / (J - 1) · mean over r of the variance over s of f_rs - mean_r f_rs
            V    = max(V_jd + (variance over s of f_s - own) / S, 0.75 V_jd)
        V_jd is what the JDs do to the average, with what seeds share through them. `own` is how
        much seeds would differ through their JDs and cells alone; by what they differ more, the
        seeds themselves differ. So V is V_jd + V_seed S / (S - 1) - V_cell of Cameron, Gelbach &
        Miller, where V_cell leaves out what the seeds have in common. The variances over s are
        those with S - 1. The last difference may be below 0 by chance. To cut V off at V_jd is
        unfair on average (it covers up to 97% in simulations with equal seeds), not to cut it off
        gives intervals of no width: 0.75 V_jd lies between.

        df: V² / (V_jd² / (J* - 1) + (variance over s / S)² / (S - 1)), the second term only where
        seeds differ by more than `own`, and no less than S - 1, which seeds alone would give; J* is
        1 / Σ of the squared shares of pairs that a JD has (J, if all have as many).
        """
        whole, drawn = values[0], values[1:]
        defined = ~np.isnan(whole)
        value, seeds = mean_over_seeds(values[:1])[0], int(defined.sum())
        if seeds == 0 or jds < 2:
            return cls(float(value), np.nan, np.nan, np.nan)
        drawn = drawn[:, defined]
        grow = jds / (jds - 1)
        means = mean_over_seeds(drawn)
        v_jd, excess, of_seeds = grow * float(np.nanvar(means)), 0.0, 0.0
        if seeds > 1:
            of_seeds = float(whole[defined].var(ddof=1)) / seeds
            excess = of_seeds - grow * _variance_over_seeds(drawn) / seeds
        v = max(v_jd + excess, LEAST * v_jd)
        by_jds = v_jd**2 / max(independent - 1, 1)
        by_seeds = of_seeds**2 / max(seeds - 1, 1)
        df, cautious = (
            max(_ratio(v**2, by_jds + part), seeds - 1)
            for part in (by_seeds if excess > 0 else 0.0, by_seeds)
        )
        return cls(float(value), float(np.sqrt(v)), df, cautious)

    def interval(self, level: float) -> dict[str, float]:
        """low, high, se and df."""
        half = float(t.ppf((1 + level) / 2, self.df)) * self.se
        return {"low": self.value - half, "high": self.value + half, "se": self.se, "df": self.df}

    def p(self) -> float:
        """Two-sided, of a true value of 0."""
        if self.se == 0:
            return float(self.value == 0)
        return float(2 * t.sf(abs(self.value) / self.se, self.df_cautious))


def resampled_counts(rows: Columns, replicates: int, random_seed: int) -> np.ndarray:
    """[1 + replicate, jd]: each JD once, then the draws."""
    jds = codes(rows)[2][1]
    return np.concatenate([np.ones((1, jds)), draw_counts(jds, replicates, random_seed)])


def equal_jds(rows: Columns) -> tuple[int, float]:
    """How many JDs there are, and as how many equal ones they count."""
    s, j, shape = codes(rows)
    pairs = np.zeros(shape)
    np.add.at(pairs, (s, j), 1)
    share = (pairs / pairs.sum(1, keepdims=True)).mean(0)
    return shape[1], float(1 / (share**2).sum())


def _variance_over_seeds(drawn: np.ndarray) -> float:
    """Mean over replicates of the variance over seeds of f_rs - mean_r f_rs; a replicate counts
    where two seeds have a figure."""
    several = drawn[(~np.isnan(drawn)).sum(1) > 1]
    if len(several) == 0:
        return 0.0
    return float(np.nanvar(several - np.nanmean(drawn, axis=0), axis=1, ddof=1).mean())


def _ratio(a: float, b: float) -> float:
    """a / b; where nothing varies there is nothing to be unsure of."""
    return a / b if b > 0 else np.inf
