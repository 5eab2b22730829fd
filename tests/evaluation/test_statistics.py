"""The intervals are those of a naive bootstrap, cover the truth, and find no difference in none."""

import math
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import classification as slow
from reference import ranking as slow_ranking

from jdcv_core.evaluation.classification import classification_metrics
from jdcv_core.evaluation.ranking import mean_over_queries, ndcg_per_query
from jdcv_core.evaluation.statistics import (
    METRICS,
    bootstrap,
    draw_counts,
    paired_bootstrap,
    spread,
)


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


def slow_figure(metric, rows, k):
    """`rows`: (jd, cv, label, predicted, score), a JD drawn twice being there as two JDs."""
    labels, predicted, scores = ([row[i] for row in rows] for i in (2, 3, 4))
    if metric == "weighted_f1":
        return slow.weighted_f1(labels, predicted) if rows else None
    if metric == "macro_f1":
        return slow.macro_f1(labels, predicted) if rows else None
    if metric == "qwk":
        return slow.quadratic_kappa(labels, predicted) if rows else None
    if metric == "mae_classes":
        return slow.mean_distance(labels, predicted) if rows else None
    if metric == "distant":
        return slow.distant(labels, predicted) if rows else None
    if metric == "auc_good":
        return slow.auc(labels, scores)
    queries = defaultdict(lambda: ({}, {}))
    for jd, cv, label, _, score in rows:
        queries[jd][0][cv] = label
        queries[jd][1][cv] = score
    values = [slow_ranking.ndcg(grades, run, k) for grades, run in queries.values()]
    values = [value for value in values if value is not None]
    return sum(values) / len(values) if values else None


def naive_difference(metric, tables, seed_draw, jd_draw, k):
    """One replicate by copying rows: nested loops over drawn seeds and drawn JDs."""
    means = []
    for table in tables:
        figures = []
        for seed in seed_draw:
            rows = []
            for copy, jd in enumerate(jd_draw):
                for i in range(len(table["seed"])):
                    if table["seed"][i] == seed and table["jd"][i] == jd:
                        columns = [table[name][i] for name in ("cv", "label", "predicted", "score")]
                        rows.append((copy, *columns))
            figures.append(slow_figure(metric, rows, k))
        figures = [figure for figure in figures if figure is not None]
        means.append(sum(figures) / len(figures) if figures else math.nan)
    return means[0] - means[1]


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("tested", [None, 3])
def test_equals_a_bootstrap_that_copies_rows(metric, tested):
    rng = np.random.default_rng(7)
    tables = two_variants(rng, tested=tested, accuracy=(0.7, 0.4))
    seeds, jds = (np.unique(tables[0][name]) for name in ("seed", "jd"))
    drawn = [
        naive_difference(metric, tables, np.repeat(seeds, s), np.repeat(jds, j), k=3)
        for s, j in zip(*draw_counts(len(seeds), len(jds), 40, random_seed=5), strict=True)
    ]
    low, high = np.nanquantile(drawn, [0.05, 0.95])
    found = paired_bootstrap(
        *tables, metrics=[metric], replicates=40, random_seed=5, level=0.9, k=3
    )
    expected = {
        "difference": naive_difference(metric, tables, seeds, jds, k=3),
        "low": low,
        "high": high,
    }
    assert found == {metric: pytest.approx(expected, abs=1e-9)}


def test_the_difference_is_that_of_the_printed_figures():
    tables = two_variants(np.random.default_rng(1), seeds=4, jds=8)
    found = paired_bootstrap(*tables, replicates=1)
    for metric in METRICS:
        means = []
        for table in tables:
            values = []
            for seed in np.unique(table["seed"]):
                mine = {name: column[table["seed"] == seed] for name, column in table.items()}
                if metric == "ndcg":
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
    """Against a variant whose figure is the same in every draw, the difference says the same."""
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
    with pytest.raises(ValueError, match="occurs twice"):
        bootstrap({name: np.concatenate([c, c]) for name, c in table.items()})


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([None, 2]))
def test_identical_variants_differ_by_exactly_nothing(data_seed, tested):
    table, _ = two_variants(np.random.default_rng(data_seed), tested=tested)
    nothing = {"difference": 0.0, "low": 0.0, "high": 0.0}
    assert paired_bootstrap(table, table, replicates=50) == dict.fromkeys(METRICS, nothing)


@settings(max_examples=25, deadline=None)
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


@pytest.mark.parametrize(
    ("seeds", "accuracy", "lowest", "highest"),
    [
        # With one seed only the JDs vary: close to the nominal 95%.
        (1, (0.55, 0.55), 0.90, 0.98),
        # With several, what is random per (seed, JD) counts twice: on the safe side.
        (4, (0.65, 0.55), 0.93, 1.00),
    ],
)
def test_a_95_percent_interval_covers_the_truth(seeds, accuracy, lowest, highest):
    """Classes are balanced and errors symmetric, so the true weighted F1 is the accuracy."""
    truth = accuracy[0] - accuracy[1]
    covered = 0
    for simulation in range(300):
        tables = two_variants(
            np.random.default_rng(simulation), seeds, 40, 10, accuracy=accuracy, jd_spread=0.1
        )
        found = paired_bootstrap(
            *tables, metrics=["weighted_f1"], replicates=400, random_seed=simulation
        )["weighted_f1"]
        covered += found["low"] <= truth <= found["high"]
    assert lowest <= covered / 300 <= highest


def test_pairs_of_one_jd_are_not_taken_for_independent():
    """Ten copies of each pair say nothing new, so the interval must not shrink."""
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
    """Predictions that do not depend on the seed: more seeds are no more evidence about JDs."""
    tables = two_variants(np.random.default_rng(4), seeds=1, jds=25)
    five = []
    for table in tables:
        again = {name: np.tile(column, 5) for name, column in table.items()}
        again["seed"] = np.repeat(np.arange(5), len(table["seed"]))
        five.append(again)
    one = paired_bootstrap(*tables, metrics=["weighted_f1"], replicates=4000)["weighted_f1"]
    found = paired_bootstrap(*five, metrics=["weighted_f1"], replicates=4000)["weighted_f1"]
    assert found["high"] - found["low"] == pytest.approx(one["high"] - one["low"], rel=0.1)


def test_as_many_seeds_and_jds_are_drawn_as_there_are():
    seeds, jds = draw_counts(5, 40, 2000, random_seed=0)
    assert (seeds.shape, jds.shape) == ((2000, 5), (2000, 40))
    assert (seeds.sum(1) == 5).all()
    assert (jds.sum(1) == 40).all()
    assert jds.mean(0) == pytest.approx(np.ones(40), abs=0.1)
    again = draw_counts(5, 40, 2000, random_seed=0)
    assert (again[0] == seeds).all()
    assert (again[1] == jds).all()


def test_a_seed_without_a_drawn_jd_does_not_pull_the_difference_to_nothing():
    """Two seeds that test one JD each: where one JD is drawn twice, the other seed has no pairs."""
    tables = two_variants(np.random.default_rng(0), seeds=2, jds=2, tested=1)
    right, wrong = ({name: column.copy() for name, column in table.items()} for table in tables)
    right["jd"] = wrong["jd"] = right["seed"].astype(str)
    right["predicted"], wrong["predicted"] = right["label"], (right["label"] + 1) % 3
    found = paired_bootstrap(right, wrong, metrics=["weighted_f1"], replicates=200)
    assert found == {"weighted_f1": {"difference": 1.0, "low": 1.0, "high": 1.0}}


def test_an_undefined_metric_is_nan_and_spoils_no_other():
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
        (baseline | {"seed": [0]}, "one length"),
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
