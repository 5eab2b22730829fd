"""The protocol of the table combines its parts correctly, finds real differences, and makes few
false claims. A part of benchmarks/statistics.py, where the truth is known, runs here."""

import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from reference.tables import systems

from benchmarks import statistics_coverage, statistics_tables
from jdcv_core.evaluation.compare import compare
from jdcv_core.evaluation.intervals import paired_bootstrap
from jdcv_core.evaluation.metrics import COMPARED as METRICS
from jdcv_core.evaluation.significance import detectable, holm, paired_permutation, verdict
from jdcv_core.scoring import MeanPairs
from jdcv_core.types import ChunkVectors

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


def a_table(data_seed, *qualities, **kinds):
    """Make the rows "0", "1", …, with scores of the given qualities."""
    rng = np.random.default_rng(data_seed)
    rows = systems(rng, how_many=len(qualities), quality=qualities, **kinds)
    return {str(place): row for place, row in enumerate(rows)}


def test_each_row_has_the_figures_of_the_separate_functions():
    rows = a_table(0, 1.0, 1.5, 2.5, 0.2, jds=24)
    settings = {"replicates": 200, "random_seed": 3, "k": 5}
    found = compare(rows, "1", family=["0", "2"], permutations=300, **settings)
    assert list(found) == ["0", "2", "3"]
    for name, by_metric in found.items():
        intervals = paired_bootstrap(rows[name], rows["1"], **settings)
        p = paired_permutation(rows[name], rows["1"], permutations=300, random_seed=3, k=5)
        for metric in METRICS:
            line = by_metric[metric]
            assert {key: line[key] for key in intervals[metric]} == intervals[metric]
            assert line["p_permutation"] == p[metric]
            assert line["p"] == max(line["p_permutation"], line["p_interval"])
            assert line["verdict"] == verdict(line, line["p_holm"], metric)
    for metric in METRICS:
        adjusted = holm({name: found[name][metric]["p"] for name in ("0", "2")})
        assert {name: found[name][metric]["p_holm"] for name in ("0", "2")} == adjusted
        assert math.isnan(found["3"][metric]["p_holm"])
    # By default all three rows are hypotheses; a row's figures do not depend on other rows.
    every = compare(rows, "1", permutations=300, **settings)
    for metric in METRICS:
        adjusted = holm({name: every[name][metric]["p"] for name in every})
        assert {name: every[name][metric]["p_holm"] for name in every} == adjusted
        assert every["3"][metric]["p"] == found["3"][metric]["p"]
        assert every["3"][metric]["detectable"] > found["3"][metric]["detectable"]
        assert found["3"][metric]["detectable"] > detectable(found["3"][metric]["se"])


def test_large_differences_get_the_verdict_better_or_worse():
    rows = a_table(1, 1.0, 3.0, 0.0, jds=40)
    found = compare(rows, "0", replicates=500)
    assert {line["verdict"] for line in found["1"].values()} == {"better"}
    assert {line["verdict"] for line in found["2"].values()} == {"worse"}
    same = compare({"a": rows["0"], "b": rows["0"]}, "a", replicates=50)["b"]["weighted_f1"]
    assert (same["difference"], same["low"], same["high"], same["se"]) == (0, 0, 0, 0)
    assert (same["p"], same["p_holm"], same["verdict"]) == (1, 1, "tie")


def test_a_large_family_can_be_passed_with_few_permutations_asked_for():
    rows = a_table(2, 1.0, 4.0, jds=40, seeds=8)
    many = {f"copy {i}": rows["1"] for i in range(150)} | {"base": rows["0"]}
    found = compare(many, "base", metrics=["ndcg"], replicates=200, permutations=100)
    assert {line["ndcg"]["verdict"] for line in found.values()} == {"better"}


def test_lucky_trainings_do_not_make_a_system_better():
    """Seeds differ and the systems are equal. The permutation test, which ignores the sampling of
    seeds, finds differences in most tables."""
    called = fooled = 0
    for simulation in range(100):
        rows = a_table(simulation, 1.0, 1.0, 1.0, jds=30, seeds=5, of_seed=0.6)
        lines = [
            line["weighted_f1"]
            for line in compare(
                rows, "0", metrics=["weighted_f1"], replicates=200, permutations=200
            ).values()
        ]
        called += any(line["verdict"] in ("better", "worse") for line in lines)
        fooled += any(line["p_permutation"] < 0.025 for line in lines)
    assert called <= 10  # of 100 at 5%; more than 10 happen in 1 of 100 runs
    assert fooled > 30


def test_unknown_rows_are_refused():
    rows = a_table(0, 1.0, 1.0)
    with pytest.raises(KeyError, match="no row 'x'"):
        compare(rows, "x")
    with pytest.raises(KeyError, match="no row 'y'"):
        compare(rows, "0", family=["y"])
    with pytest.raises(ValueError, match="same rows"):
        compare(a_table(0, 1.0) | {"1": a_table(1, 1.0, jds=7)["0"]}, "0")
    with pytest.raises(ValueError, match="unknown metrics"):
        compare(rows, "0", metrics=["accuracy"])


@pytest.mark.parametrize("ratio", [0.0, 1.0])
def test_intervals_cover_the_truth_with_five_seeds(ratio):
    """With a coverage of 95%, 136 to 148 of 150 cases are covered in 99 of 100 runs."""
    world = statistics_coverage.World(5, 80, 16, ratio)
    shares = statistics_coverage.coverage(world, cases=150, replicates=200)
    assert 0.92 <= np.mean(list(shares.values())) <= 0.985
    assert min(shares.values()) >= 0.9


@pytest.mark.slow
def test_a_planted_effect_is_found_and_its_absence_is_not():
    shares = statistics_tables.found_in_tables(range(4))["weighted_f1"]
    assert shares["false_positives"] == 0
    assert shares["strong"] >= 3 / 4
    assert shares["strong"] > shares["weak"]


def test_a_row_without_effect_is_the_baseline():
    rng = np.random.default_rng(0)
    dim = statistics_tables.DIM
    jd, cv = (
        ChunkVectors.pad(
            {i: rng.normal(size=(n, dim)) for i, n in zip(ids, (1, 3), strict=True)}, ids
        )
        for ids in ("ab", "cd")
    )
    generator = torch.Generator()
    row = statistics_tables.Evidence(0.0, 0.0, generator)
    assert torch.equal(row(jd, cv), MeanPairs(dim)(jd, cv))
    only = statistics_tables.Evidence(1.0, 0.0, generator)(jd, cv)
    assert torch.allclose(only, MeanPairs(dim).head(jd.vectors[:, 0], cv.vectors[:, 0]), atol=1e-4)


def test_another_script_of_the_folder_imports_the_standard_library():
    """statistics.py has the name of a standard module, and a script's folder is searched first."""
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]);"
        "import statistics; print(statistics.mode([7, 7]))"
    )
    command = [sys.executable, "-c", code, str(BENCHMARKS)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.stdout.strip(), done.stderr) == ("7", "")


@pytest.mark.slow
def test_the_benchmark_prints_its_figures():
    command = [sys.executable, str(BENCHMARKS / "statistics.py"), "--quick"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert 0.85 <= found["coverage"] <= found["coverage_highest"] <= 1
    assert found["false_positive_rate"] <= 0.25
    assert found["planted_found"] >= max(0.5, found["weak_planted_found"])
