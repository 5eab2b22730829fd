"""The permutation test follows its definition, its p-values are uniform under the null hypothesis,
and Holm's correction equals the closure of Bonferroni's."""

import math
from collections import defaultdict
from itertools import chain, combinations

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from reference import significance as slow
from reference.tables import COLUMNS, systems
from sklearn.metrics import roc_auc_score

from jdcv_core.evaluation.metrics import COMPARED as METRICS
from jdcv_core.evaluation.resampling import figures, sorted_columns
from jdcv_core.evaluation.significance import (
    detectable,
    holm,
    paired_permutation,
    swapped,
    verdict,
)

LOWER = {"mae_classes", "distant"}


def as_rows(table):
    return list(zip(*(sorted_columns(table)[name].tolist() for name in COLUMNS), strict=True))


@pytest.mark.parametrize("metric", METRICS)
def test_swapping_by_signs_equals_exchanging_the_rows(metric):
    a, b = systems(np.random.default_rng(1), seeds=2, jds=5)
    keep = ~((a["seed"] == 1) & (a["jd"] == 3))  # seeds need not test the same JDs
    a, b = ({name: column[keep] for name, column in t.items()} for t in (a, b))
    sets = list(chain.from_iterable(combinations(range(5), n) for n in range(6)))
    signs = np.array([[-1 if jd in swap else 1 for jd in range(5)] for swap in sets])
    found = swapped(sorted_columns(a), sorted_columns(b), [metric], signs, k=3)[metric]
    expected = [slow.swapped_difference(metric, as_rows(a), as_rows(b), s, 3) for s in sets]
    assert found == pytest.approx(expected, abs=1e-12)
    assert found[0] == pytest.approx(-found[-1])  # the first row swaps no JD, the last swaps all


@pytest.mark.parametrize("metric", ["mae_classes", "ndcg"])
def test_p_is_that_of_scipy(metric):
    """This holds for figures that are means over JDs, if every seed tests every JD."""
    a, b = systems(np.random.default_rng(3), jds=9)
    one_jd = np.eye(9)
    ours, theirs = (
        figures(sorted_columns(t), [metric], one_jd, 10)[metric].mean(1) for t in (a, b)
    )
    exact = scipy.stats.permutation_test(
        (ours, theirs),
        lambda x, y, axis: (x - y).mean(axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=np.inf,
    ).pvalue
    found = paired_permutation(a, b, metrics=[metric], permutations=20_000)[metric]
    assert found == pytest.approx(exact, abs=4 * math.sqrt(exact * (1 - exact) / 20_000) + 1e-4)


def test_p_is_uniform_where_systems_are_exchangeable():
    metrics = ("weighted_f1", "auc_good", "auc_within_cv", "ndcg")
    p = defaultdict(list)
    for simulation in range(300):
        tables = systems(np.random.default_rng(simulation), seeds=2, jds=16, pairs=6)
        found = paired_permutation(
            *tables, metrics=metrics, permutations=199, random_seed=simulation
        )
        for metric, value in found.items():
            p[metric].append(value)
    for metric, values in p.items():
        for level in (0.05, 0.2, 0.5, 0.8):
            below = int((np.array(values) <= level).sum())
            assert scipy.stats.binomtest(below, 300, level).pvalue > 0.002, (metric, level)


@given(st.integers(0, 10_000))
def test_p_depends_neither_on_the_scale_of_scores_nor_on_the_order_of_systems(data_seed):
    a, b = systems(np.random.default_rng(data_seed))
    p = paired_permutation(a, b, permutations=100)
    assert paired_permutation(a, b | {"score": 7 + 100 * b["score"]}, permutations=100) == p
    assert paired_permutation(b, a, permutations=100) == p


def test_copies_of_a_seed_add_no_evidence():
    once = systems(np.random.default_rng(5), seeds=1, jds=12)
    five = []
    for table in once:
        again = {name: np.tile(column, 5) for name, column in table.items()}
        five.append(again | {"seed": np.repeat(np.arange(5), len(table["seed"]))})
    assert paired_permutation(*five) == paired_permutation(*once)


def test_equal_systems_have_p_1_and_very_different_ones_the_smallest_p():
    a, b = systems(np.random.default_rng(0), jds=20)
    assert set(paired_permutation(a, a, permutations=50).values()) == {1.0}
    b["score"], b["predicted"] = -a["label"] / 2, 2 - a["label"]  # all wrong
    a["score"], a["predicted"] = a["label"] / 2, a["label"]
    p = paired_permutation(a, b, permutations=99)
    assert p.pop("qwk") == p.pop("auc_good") == p.pop("auc_within_cv") == p.pop("ndcg") == 0.01
    assert set(p.values()) == {0.01}


def test_p_is_nan_where_nothing_can_be_compared():
    a, b = systems(np.random.default_rng(0))
    for table in (a, b):
        table["label"] = np.ones_like(table["label"])
    p = paired_permutation(a, b, permutations=20)
    assert {metric for metric in p if math.isnan(p[metric])} == {"auc_good", "auc_within_cv"}
    with pytest.raises(ValueError, match="unknown metrics"):
        paired_permutation(a, b, metrics=["accuracy"])
    with pytest.raises(ValueError, match="'label' differ"):
        paired_permutation(a, b | {"label": 2 - b["label"] * 2})


@pytest.mark.parametrize("data_seed", range(3))
def test_auc_within_cv_is_that_of_sklearn_cv_by_cv(data_seed):
    table, _ = systems(np.random.default_rng(data_seed), seeds=1, jds=30)
    won = compared = 0.0
    for cv in np.unique(table["cv"]):
        mine = table["cv"] == cv
        good = table["label"][mine] == 2
        if 0 < good.sum() < len(good):
            weight = good.sum() * (~good).sum()
            won += weight * roc_auc_score(good, table["score"][mine])
            compared += weight
    found = figures(sorted_columns(table), ["auc_within_cv"], np.ones((1, 30)), 10)
    assert found["auc_within_cv"].item() == pytest.approx(won / compared)
    brute = slow.over_seeds("auc_within_cv", as_rows(table), 10)
    assert found["auc_within_cv"].item() == pytest.approx(brute)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6), st.integers(0, 2))
def test_holm_is_the_closure_of_bonferroni(values, undefined):
    p = {str(i): value for i, value in enumerate(values)}
    found = holm(p | {f"nan {i}": math.nan for i in range(undefined)})
    assert all(math.isnan(found.pop(f"nan {i}")) for i in range(undefined))
    assert found == pytest.approx(slow.holm_by_closure(p))


def test_the_detectable_difference_is_found_in_80_percent():
    rng = np.random.default_rng(0)
    for df, comparisons in ((np.inf, 1), (np.inf, 20), (8, 1)):
        effect = detectable(0.02, df=df, comparisons=comparisons)
        estimate = effect + rng.normal(0, 0.02, 40_000)
        se = 0.02 * (np.sqrt(rng.chisquare(df, 40_000) / df) if df < np.inf else 1.0)
        p = 2 * scipy.stats.t.sf(abs(estimate) / se, df)
        assert (p < 0.05 / comparisons).mean() == pytest.approx(0.8, abs=0.015)
    assert detectable(0.01, power=0.9) > detectable(0.01) > detectable(0.01, level=0.9)
    assert math.isnan(detectable(math.nan))


@pytest.mark.parametrize("metric", ["ndcg", *sorted(LOWER)])
def test_verdicts(metric):
    up = "worse" if metric in LOWER else "better"
    down = "better" if metric in LOWER else "worse"
    assert set(METRICS) >= LOWER
    for low, high, p, said in [
        (0.01, 0.03, 0.01, up),
        (-0.03, -0.01, 0.01, down),
        (0.01, 0.03, 0.05, "tie (Holm)"),
        (0.01, 0.03, math.nan, up),  # no hypothesis
        (-0.01, 0.03, 0.01, "tie"),
        (0.0, 0.03, 0.01, "tie"),  # the interval includes 0
        (0.0, 0.0, 1.0, "tie"),
        (math.nan, math.nan, math.nan, "tie"),
    ]:
        assert verdict({"low": low, "high": high}, p, metric) == said
    assert verdict({"low": 0.1, "high": 0.2}, 0.07, metric, level=0.9) == up
