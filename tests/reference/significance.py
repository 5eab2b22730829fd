"""Slow statistics from the definitions. They share no code with `jdcv_core`.

A *row* is (seed, jd, cv, label, predicted, score); a table is a list of rows.
"""

from collections import defaultdict
from itertools import combinations

from reference import classification, ranking


def auc_within_cv(rows):
    """Compute the AUC within CVs from the rows of one seed; None without comparisons.

    rows: (jd, cv, label, predicted, score)
    """
    wins = comparisons = 0
    for _, cv, label, _, score in rows:
        for _, other_cv, other_label, _, other in rows:
            if cv == other_cv and label == 2 and other_label != 2:
                comparisons += 1
                wins += 1 if score > other else 0.5 if score == other else 0
    return wins / comparisons if comparisons else None


def figure(metric, rows, k):
    """Compute a metric of one seed. A JD drawn twice counts as two JDs; its CVs keep their ids."""
    labels, predicted, scores = ([row[i] for row in rows] for i in (2, 3, 4))
    if not rows:
        return None
    if metric == "weighted_f1":
        return classification.weighted_f1(labels, predicted)
    if metric == "macro_f1":
        return classification.macro_f1(labels, predicted)
    if metric == "qwk":
        return classification.quadratic_kappa(labels, predicted)
    if metric == "mae_classes":
        return classification.mean_distance(labels, predicted)
    if metric == "distant":
        return classification.distant(labels, predicted)
    if metric == "auc_good":
        return classification.auc(labels, scores)
    if metric == "auc_within_cv":
        return auc_within_cv(rows)
    queries = defaultdict(lambda: ({}, {}))
    for jd, cv, label, _, score in rows:
        queries[jd][0][cv] = label
        queries[jd][1][cv] = score
    values = [ranking.ndcg(grades, run, k) for grades, run in queries.values()]
    values = [value for value in values if value is not None]
    return sum(values) / len(values) if values else None


def over_seeds(metric, rows, k):
    """Average over the seeds that have a value; None if no seed has one."""
    by_seed = defaultdict(list)
    for seed, *rest in rows:
        by_seed[seed].append(tuple(rest))
    found = [figure(metric, mine, k) for mine in by_seed.values()]
    found = [value for value in found if value is not None]
    return sum(found) / len(found) if found else None


def ranked(rows):
    """Replace scores by their rank within the seed; ties get their mean rank."""
    result = []
    for seed, jd, cv, label, predicted, score in rows:
        others = [row[5] for row in rows if row[0] == seed]
        below = sum(other < score for other in others)
        equal = sum(other == score for other in others)
        result.append((seed, jd, cv, label, predicted, below + (equal + 1) / 2))
    return result


def swapped_difference(metric, variant, baseline, jds, k):
    """Compute the difference after exchanging all rows of these JDs between the two tables."""
    if metric.startswith("auc"):
        variant, baseline = ranked(variant), ranked(baseline)
    one, other = [], []
    for ours, theirs in zip(variant, baseline, strict=True):
        swap = ours[1] in jds
        one.append(theirs if swap else ours)
        other.append(ours if swap else theirs)
    return over_seeds(metric, one, k) - over_seeds(metric, other, k)


def holm_by_closure(p):
    """A hypothesis is rejected if Bonferroni rejects every set that contains it (Marcus, Peritz &
    Gabriel 1976): its adjusted p is the largest Bonferroni p of these sets."""
    adjusted = {}
    for name in p:
        rest = [other for other in p if other != name]
        sets = [(name, *more) for n in range(len(rest) + 1) for more in combinations(rest, n)]
        adjusted[name] = max(min(1.0, len(s) * min(p[each] for each in s)) for s in sets)
    return adjusted


def variance(whole, drawn, jds, least):
    """Compute the variance of the mean over seeds from the covariance matrix of resampled figures.

    whole: a figure for each seed; drawn: a list of such lists, with JDs resampled, without nan.
    Returns the variance, the part that JDs cause, and the variance from seeds alone.
    """
    seeds, n = len(whole), len(drawn)
    means = [sum(row[s] for row in drawn) / n for s in range(seeds)]
    covariance = [
        [
            jds / (jds - 1) * sum((r[a] - means[a]) * (r[b] - means[b]) for r in drawn) / n
            for b in range(seeds)
        ]
        for a in range(seeds)
    ]
    of_jds = sum(map(sum, covariance)) / seeds**2
    if seeds == 1:
        return of_jds, of_jds, 0.0
    own = sum(covariance[s][s] for s in range(seeds)) / seeds
    shared = (seeds**2 * of_jds - seeds * own) / (seeds * (seeds - 1))
    middle = sum(whole) / seeds
    between = sum((value - middle) ** 2 for value in whole) / (seeds - 1)
    total = max(of_jds + (between - (own - shared)) / seeds, least * of_jds)
    return total, of_jds, between / seeds


def degrees_of_freedom(total, of_jds, of_seeds, shares, seeds):
    """Compute Satterthwaite's degrees of freedom for the interval and the p-value.

    shares: share of pairs of each JD
    """
    independent = 1 / sum(share**2 for share in shares)
    jds = of_jds**2 / (independent - 1)
    both = jds + (of_seeds**2 / (seeds - 1) if seeds > 1 else 0.0)
    least = seeds - 1
    differ = total > of_jds
    return max(least, total**2 / (both if differ else jds)), max(least, total**2 / both)
