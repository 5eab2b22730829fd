"""Slow statistics, written from the definitions. Shares no code with `jdcv_core`.

A *row* is (seed, jd, cv, label, predicted, score); a table is a list of rows.
"""

from collections import defaultdict
from itertools import combinations

from reference import classification, ranking


def auc_within_cv(rows):
    """(jd, cv, label, predicted, score) of one seed; None where nothing can be compared."""
    wins = comparisons = 0
    for _, cv, label, _, score in rows:
        for _, other_cv, other_label, _, other in rows:
            if cv == other_cv and label == 2 and other_label != 2:
                comparisons += 1
                wins += 1 if score > other else 0.5 if score == other else 0
    return wins / comparisons if comparisons else None


def figure(metric, rows, k):
    """Of one seed. A JD drawn twice is there as two JDs, and its CVs keep their names."""
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
    """The mean over the seeds that have a figure; None without one."""
    by_seed = defaultdict(list)
    for seed, *rest in rows:
        by_seed[seed].append(tuple(rest))
    found = [figure(metric, mine, k) for mine in by_seed.values()]
    found = [value for value in found if value is not None]
    return sum(found) / len(found) if found else None


def ranked(rows):
    """Scores replaced by their rank within the seed, ties sharing the mean of theirs."""
    result = []
    for seed, jd, cv, label, predicted, score in rows:
        others = [row[5] for row in rows if row[0] == seed]
        below = sum(other < score for other in others)
        equal = sum(other == score for other in others)
        result.append((seed, jd, cv, label, predicted, below + (equal + 1) / 2))
    return result


def swapped_difference(metric, variant, baseline, jds, k):
    """The difference after the two tables exchanged all rows of these JDs."""
    if metric.startswith("auc"):
        variant, baseline = ranked(variant), ranked(baseline)
    one, other = [], []
    for ours, theirs in zip(variant, baseline, strict=True):
        swap = ours[1] in jds
        one.append(theirs if swap else ours)
        other.append(ours if swap else theirs)
    return over_seeds(metric, one, k) - over_seeds(metric, other, k)


def holm_by_closure(p):
    """A hypothesis falls where every set that holds it falls by Bonferroni (Marcus, Peritz &
    Gabriel 1976): its adjusted p is the largest Bonferroni p of those sets."""
    adjusted = {}
    for name in p:
        rest = [other for other in p if other != name]
        sets = [(name, *more) for n in range(len(rest) + 1) for more in combinations(rest, n)]
        adjusted[name] = max(min(1.0, len(s) * min(p[each] for each in s)) for s in sets)
    return adjusted


def variance(whole, drawn, jds, least):
    """Of the mean over seeds, by the covariance matrix of the seeds' resampled figures; what the
    JDs add to it, and what seeds alone would say of it.

    whole: a figure a seed; drawn: a list of such lists, JDs resampled. No nan.
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
    """Satterthwaite's, for the interval and for the p-value. shares: of pairs, by JD."""
    independent = 1 / sum(share**2 for share in shares)
    jds = of_jds**2 / (independent - 1)
    both = jds + (of_seeds**2 / (seeds - 1) if seeds > 1 else 0.0)
    least = seeds - 1
    differ = total > of_jds
    return max(least, total**2 / (both if differ else jds)), max(least, total**2 / both)
