"""Intervals equal those of a naive bootstrap, cover the truth, and are 0 for equal variants."""

import math
from collections import defaultdict

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import significance as slow
from thorough import examples

from jdcv_core.evaluation.classification import classification_metrics
from jdcv_core.evaluation.intervals import (
    LEAST,
    Estimate,
    bootstrap,
    equal_jds,
    paired_bootstrap,
    query_difference,
    spread,
)
from jdcv_core.evaluation.metrics import COMPARED as METRICS
from jdcv_core.evaluation.ranking import mean_over_queries, ndcg_per_query
from jdcv_core.evaluation.resampling import draw_counts, figures, ndcg_cells, sorted_columns


def two_variants(rng, seeds=3, jds=6, pairs=5, tested=None, accuracy=(0.5, 0.5), jd_spread=0.0):
    """Two tables on the same rows. Each seed tests `tested` of the JDs (default: all), in columns.

    A variant predicts the label with its accuracy, shifted for each JD, else one of the other two.
    """
    labels = rng.integers(0, 3, (jds, pairs))
    shift = rng.normal(0, jd_spread, (2, jds))
    own = [np.sort(rng.permutation(jds)[: tested or jds]) for _ in range(seeds)]
    seed = np.repeat(np.arange(seeds), [len(mine) * pairs for mine in own])
    jd = np.repeat(np.concatenate(own), pairs)
    cv = np.tile(np.arange(pairs), len(jd) // pairs)
    label = labels[jd, cv]
    tables = []
    for which in (0, 1):
        right = rng.random(len(jd)) < accuracy[which] + shift[which, jd]
        predicted = np.where(right, label, (label + rng.integers(1, 3, len(jd))) % 3)
        score = (predicted + rng.integers(0, 2, len(jd))) / 3  # many ties
        tables.append(
            {
                "seed": seed,
                "jd": np.array([f"jd:{i}" for i in jd]),
                "cv": np.array([f"cv:{i}" for i in cv]),
                "label": label,
                "predicted": predicted,
                "score": score,
            }
        )
    return tables


def copied_rows(table, seed, counts):
    """Copy the rows of JD j counts[j] times, each time as a separate JD."""
    jds = np.unique(table["jd"])
    return [
        (f"{jd} {copy}", *(table[name][i] for name in ("cv", "label", "predicted", "score")))
        for jd, count in zip(jds, counts, strict=True)
        for copy in range(count)
        for i in np.flatnonzero((table["seed"] == seed) & (table["jd"] == jd))
    ]


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("tested", [None, 3])
def test_figures_on_drawn_jds_are_those_on_copied_rows(metric, tested):
    table, _ = two_variants(np.random.default_rng(7), tested=tested, accuracy=(0.7, 0.4))
    counts = draw_counts(len(np.unique(table["jd"])), 20, random_seed=5)
    found = figures(sorted_columns(table), [metric], counts, k=3)[metric]
    expected = [
        [slow.figure(metric, copied_rows(table, seed, drawn), 3) for seed in (0, 1, 2)]
        for drawn in counts
    ]
    assert found == pytest.approx(np.array(expected, float), abs=1e-12, nan_ok=True)


@pytest.mark.parametrize(("seeds", "tested"), [(1, None), (4, None), (4, 3)])
@pytest.mark.parametrize("data_seed", range(5))
def test_standard_error_and_degrees_of_freedom_are_those_of_the_definition(
    seeds, tested, data_seed
):
    rng = np.random.default_rng(data_seed)
    tables = two_variants(rng, seeds, 8, tested=tested, accuracy=(0.8, 0.5))
    rows = sorted_columns(tables[0])
    jds, place = np.unique(rows["jd"], return_inverse=True)
    counts = np.concatenate([np.ones((1, len(jds))), draw_counts(len(jds), 200, random_seed=5)])
    one, other = (figures(sorted_columns(t), ["mae_classes"], counts, 3) for t in tables)
    values = one["mae_classes"] - other["mae_classes"]
    values = values[~np.isnan(values).any(1)]  # the definition requires a value for every seed
    found = Estimate.of(values, *equal_jds(rows))
    parts = slow.variance(values[0].tolist(), values[1:].tolist(), len(jds), LEAST)
    shares = np.bincount(place) / len(place)
    expected = np.sqrt(parts[0]), *slow.degrees_of_freedom(*parts, shares, seeds)
    assert (found.se, found.df, found.df_cautious) == pytest.approx(expected, rel=1e-9)
    assert found.p() == pytest.approx(
        2 * scipy.stats.t.cdf(-abs(found.value) / found.se, found.df_cautious)
    )
    if tested is None:
        interval = paired_bootstrap(
            *tables, metrics=["mae_classes"], replicates=200, random_seed=5, level=0.9
        )["mae_classes"]
        t = scipy.stats.t.ppf(0.95, interval["df"])
        assert interval["se"] == found.se
        assert interval["high"] == pytest.approx(interval["difference"] + t * found.se)
        assert interval["low"] == pytest.approx(interval["difference"] - t * found.se)


@pytest.mark.parametrize(("jds", "tested"), [(40, 40), (80, 16)])
@pytest.mark.parametrize("of_seed", [0.0, 0.5])
def test_the_variance_is_on_average_that_of_an_additive_model(jds, tested, of_seed):
    """If d = seed + JD + cell, the mean over S seeds, each on n of the JDs, has the variance
    seed²/S + JD² Σ (weight of the JD)² + cell²/(S n)."""
    rng, of_jd, of_cell, seeds = np.random.default_rng(0), 1.0, 0.7, 5
    expected, estimated = [], []
    for simulation in range(200):
        mine = np.argsort(rng.random((seeds, jds)), axis=1) < tested
        d = rng.normal(0, of_seed, (seeds, 1)) + rng.normal(0, of_jd, jds)
        d += rng.normal(0, of_cell, (seeds, jds))
        counts = np.concatenate([np.ones((1, jds)), draw_counts(jds, 200, simulation)])
        values = counts @ np.where(mine, d, 0).T / (counts @ mine.T)
        s, j = np.nonzero(mine)
        estimated.append(Estimate.of(values, *equal_jds({"seed": s, "jd": j})).se ** 2)
        weight = mine.mean(0) / tested
        expected.append(
            of_seed**2 / seeds + of_jd**2 * (weight**2).sum() + of_cell**2 / (seeds * tested)
        )
    # Without variance between seeds, the lower bound increases the mean slightly.
    above = 0.08 if of_seed else 0.15
    assert 0.92 < np.mean(estimated) / np.mean(expected) < 1 + above


def test_the_difference_is_that_of_the_printed_figures():
    tables = two_variants(np.random.default_rng(1), seeds=4, jds=8)
    found = paired_bootstrap(*tables, replicates=1)
    for metric in METRICS:
        means = []
        for table in tables:
            values = []
            for seed in np.unique(table["seed"]):
                mine = {name: column[table["seed"] == seed] for name, column in table.items()}
                if metric == "auc_within_cv":
                    names = ("jd", "cv", "label", "predicted", "score")
                    values.append(
                        slow.auc_within_cv(list(zip(*(mine[n] for n in names), strict=True)))
                    )
                elif metric == "ndcg":
                    qrels, run = defaultdict(dict), defaultdict(dict)
                    for jd, cv, label, score in zip(
                        mine["jd"], mine["cv"], mine["label"], mine["score"], strict=True
                    ):
                        qrels[jd][cv], run[jd][cv] = int(label), float(score)
                    values.append(mean_over_queries(ndcg_per_query(qrels, run)))
                else:
                    figures = classification_metrics(
                        mine["label"], mine["predicted"], mine["score"]
                    )
                    values.append(figures[metric])
            means.append(spread(values)[0])
        assert found[metric]["difference"] == pytest.approx(means[0] - means[1], abs=1e-12)


def test_the_interval_of_one_variant_alone():
    """It equals the interval against a variant whose figure is the same in every draw."""
    table, other = two_variants(np.random.default_rng(3), seeds=2, jds=12, accuracy=(0.8, 0.5))
    perfect = {**other, "predicted": other["label"], "score": other["label"] / 2}
    settings = {"metrics": ["weighted_f1", "distant"], "replicates": 200, "random_seed": 4}
    alone = bootstrap(table, **settings)
    against = paired_bootstrap(table, perfect, **settings)
    for metric, constant in (("weighted_f1", 1.0), ("distant", 0.0)):
        found, expected = alone[metric], against[metric]
        assert found["value"] == pytest.approx(expected["difference"] + constant)
        assert found["low"] == pytest.approx(expected["low"] + constant)
        assert found["high"] == pytest.approx(expected["high"] + constant)
        assert found["low"] < found["value"] < found["high"]
    perfect["predicted"] = np.where(perfect["jd"] == "jd:3", 0, perfect["label"])
    found = bootstrap(perfect, metrics=["weighted_f1", "distant"])
    for metric, end, limit in (("weighted_f1", "high", 1.0), ("distant", "low", 0.0)):
        assert found[metric][end] == limit  # the end of the metric's range
    with pytest.raises(ValueError, match="occurs twice"):
        bootstrap({name: np.concatenate([c, c]) for name, c in table.items()})


@settings(max_examples=examples(8), deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([None, 2]))
def test_identical_variants_have_a_difference_of_exactly_0(data_seed, tested):
    table, _ = two_variants(np.random.default_rng(data_seed), tested=tested)
    for found in paired_bootstrap(table, table, replicates=50).values():
        found.pop("df")
        assert set(found.values()) in ({0.0}, {math.nan})


@settings(max_examples=examples(8), deadline=None)
@given(st.integers(0, 10_000))
def test_exchanging_the_variants_mirrors_the_interval_and_row_order_is_of_no_effect(data_seed):
    rng = np.random.default_rng(data_seed)
    variant, baseline = two_variants(rng, tested=4)
    order = rng.permutation(len(variant["seed"]))
    shuffled = {name: column[order] for name, column in variant.items()}
    forth = paired_bootstrap(shuffled, baseline, replicates=60)
    back = paired_bootstrap(baseline, variant, replicates=60)
    for metric in METRICS:
        there = forth[metric]["difference"], forth[metric]["low"], forth[metric]["high"]
        mirrored = -back[metric]["difference"], -back[metric]["high"], -back[metric]["low"]
        assert there == pytest.approx(mirrored, abs=1e-12)


def test_a_95_percent_interval_of_one_seed_covers_the_truth():
    """Classes are balanced and errors symmetric, so the true weighted F1 is the accuracy."""
    covered = 0
    for simulation in range(300):
        tables = two_variants(
            np.random.default_rng(simulation), 1, 40, 10, accuracy=(0.65, 0.55), jd_spread=0.1
        )
        found = paired_bootstrap(
            *tables, metrics=["weighted_f1"], replicates=400, random_seed=simulation
        )["weighted_f1"]
        covered += found["low"] <= 0.1 <= found["high"]
    assert 0.92 <= covered / 300 <= 0.98


def test_pairs_of_one_jd_are_not_treated_as_independent():
    """Ten copies of each pair add no information, so the interval must not shrink."""
    tables = two_variants(np.random.default_rng(3), seeds=1, jds=30, jd_spread=0.2)
    copied = []
    for table in tables:
        ten = {name: np.tile(column, 10) for name, column in table.items()}
        ten["cv"] = np.array([f"{cv} {i // len(table['cv'])}" for i, cv in enumerate(ten["cv"])])
        copied.append(ten)
    once = paired_bootstrap(*tables, metrics=["weighted_f1", "qwk"])
    assert paired_bootstrap(*copied, metrics=["weighted_f1", "qwk"]) == {
        metric: pytest.approx(found, abs=1e-12) for metric, found in once.items()
    }


def test_a_jd_shared_by_seeds_is_drawn_in_all_of_them():
    """If predictions do not depend on the seed, more seeds give no more evidence about JDs."""
    tables = two_variants(np.random.default_rng(4), seeds=1, jds=25)
    five = []
    for table in tables:
        again = {name: np.tile(column, 5) for name, column in table.items()}
        again["seed"] = np.repeat(np.arange(5), len(table["seed"]))
        five.append(again)
    one = paired_bootstrap(*tables, metrics=["weighted_f1"], replicates=4000)["weighted_f1"]
    found = paired_bootstrap(*five, metrics=["weighted_f1"], replicates=4000)["weighted_f1"]
    assert found["high"] - found["low"] == pytest.approx(one["high"] - one["low"], rel=0.1)


def test_as_many_jds_are_drawn_as_there_are():
    jds = draw_counts(40, 2000, random_seed=0)
    assert jds.shape == (2000, 40)
    assert (jds.sum(1) == 40).all()
    assert jds.mean(0) == pytest.approx(np.ones(40), abs=0.1)
    assert (draw_counts(40, 2000, random_seed=0) == jds).all()


def test_no_interval_from_a_single_jd():
    tables = [t | {"jd": np.zeros(15)} for t in two_variants(np.random.default_rng(0), jds=1)]
    for table in tables:
        table["cv"] = np.arange(15)
    found = paired_bootstrap(*tables, metrics=["mae_classes"])["mae_classes"]
    assert not math.isnan(found.pop("difference"))
    assert all(math.isnan(value) for value in found.values())


def test_a_seed_without_a_drawn_jd_is_left_out_of_the_mean():
    """Two seeds test one JD each: if one JD is drawn twice, the other seed has no pairs."""
    tables = two_variants(np.random.default_rng(0), seeds=2, jds=2, tested=1)
    right, wrong = ({name: column.copy() for name, column in table.items()} for table in tables)
    right["jd"] = wrong["jd"] = right["seed"].astype(str)
    right["predicted"], wrong["predicted"] = right["label"], (right["label"] + 1) % 3
    found = paired_bootstrap(right, wrong, metrics=["weighted_f1"], replicates=200)
    assert [found["weighted_f1"][end] for end in ("difference", "low", "high")] == [1, 1, 1]


def test_an_undefined_metric_is_nan_and_does_not_affect_others():
    tables = two_variants(np.random.default_rng(0))
    for table in tables:
        table["label"] = np.ones_like(table["label"])
    found = paired_bootstrap(*tables, replicates=20)
    assert all(math.isnan(value) for value in found["auc_good"].values())
    assert not any(math.isnan(value) for value in found["ndcg"].values())


def test_wrong_input_is_refused():
    variant, baseline = two_variants(np.random.default_rng(0))
    fewer = {name: column[1:] for name, column in baseline.items()}
    other = baseline | {"label": 2 - baseline["label"]}
    for wrong, message in [
        ({"seed": [0]}, "lacks the columns"),
        (fewer, "same rows"),
        (other, "'label' differ"),
        (baseline | {"seed": [0]}, "same length"),
        (baseline | {"score": np.full(len(baseline["score"]), np.nan)}, "nan"),
    ]:
        with pytest.raises(ValueError, match=message):
            paired_bootstrap(variant, wrong)
    double = {name: np.concatenate([column, column]) for name, column in baseline.items()}
    with pytest.raises(ValueError, match="occurs twice"):
        paired_bootstrap(double, double)
    with pytest.raises(ValueError, match="unknown metrics"):
        paired_bootstrap(variant, baseline, metrics=["accuracy"])


def test_spread_is_the_mean_and_the_sample_standard_deviation():
    assert spread([0.5, 0.7, 0.9]) == pytest.approx((0.7, 0.2))
    assert spread([0.5]) == pytest.approx((0.5, math.nan), nan_ok=True)
    assert all(math.isnan(value) for value in spread([0.5, math.nan]))
    with pytest.raises(ValueError, match="no values"):
        spread([])


def test_the_interval_of_a_figure_by_query_is_that_of_ndcg_by_jd():
    """The input is nDCG of each (seed, JD); each seed tests only some JDs."""
    tables = [sorted_columns(t) for t in two_variants(np.random.default_rng(0), 4, 12, tested=7)]
    expected = paired_bootstrap(*tables, metrics=["ndcg"], replicates=300)["ndcg"]
    cells = [ndcg_cells(table, 10) for table in tables]
    found = query_difference(*cells, replicates=300)
    for key in ("difference", "low", "high", "se"):
        assert found[key] == pytest.approx(expected[key], rel=1e-9)
    with pytest.raises(ValueError, match="same seeds and queries"):
        query_difference(cells[0], cells[1][:, :-1])
