"""The object that `compare` returns, and the registry of metrics."""

import numpy as np
import pyarrow
import pytest

from jdcv_core.evaluation.classification import classification_metrics
from jdcv_core.evaluation.compare import compare
from jdcv_core.evaluation.metrics import CARD, COMPARED, HEADLINE, METRICS, of_table


def predictions(seed: int, noise: float) -> dict[str, np.ndarray]:
    """20 JDs × 8 CVs; the score is the label with noise."""
    rng = np.random.default_rng(seed)
    jd, cv = np.repeat(np.arange(20), 8), np.tile(np.arange(8), 20)
    label = np.random.default_rng(0).integers(0, 3, 160)
    score = label + noise * rng.standard_normal(160)
    return {"jd": jd, "cv": cv, "label": label, "score": score}


TABLES = {"noisy": predictions(1, 3.0), "clear": predictions(2, 0.1), "same": predictions(1, 3.0)}


def test_a_comparison_prints_its_rows_and_verdicts():
    found = compare(TABLES, baseline="noisy", metrics=["auc_good", "ndcg"])
    assert set(found) == {"clear", "same"}
    assert found.verdict("clear", "auc_good") == "better"
    assert found.verdict("same", "auc_good") == found.verdict("noisy", "ndcg") == "tie"
    text, markdown = str(found), found.to_markdown()
    assert [line.split()[0] for line in text.splitlines()[1:]] == ["noisy", "clear", "same"]
    assert "better" in text.splitlines()[2]
    assert "tie" in text.splitlines()[3]
    head, rule, *rows = markdown.splitlines()
    assert head == "|  | AUC | against noisy | nDCG@10 | against noisy |"
    assert {line.count("|") for line in (head, rule, *rows)} == {6}
    assert found._repr_markdown_() == markdown
    mean = np.mean(found.per_seed["clear"]["auc_good"])
    assert f"{mean:.3f}".lstrip("0") in text


def test_columns_that_may_be_left_out():
    alone = compare(TABLES, baseline="noisy")
    assert alone.metrics == ("auc_good", "auc_within_cv", "ndcg")
    seeded = {n: t | {"seed": np.full(160, 4)} for n, t in TABLES.items()}
    assert str(compare(seeded, baseline="noisy")) == str(alone)
    classed = {n: t | {"predicted": t["label"]} for n, t in TABLES.items()}
    assert compare(classed, baseline="noisy").metrics == COMPARED
    with pytest.raises(ValueError, match="predicted"):
        compare(TABLES, baseline="noisy", metrics=["weighted_f1"])


def test_tables_of_pyarrow_and_pandas_are_taken():
    wanted = str(compare(TABLES, baseline="noisy"))
    arrow = {n: pyarrow.table(t) for n, t in TABLES.items()}
    assert str(compare(arrow, baseline="noisy")) == wanted
    pandas = {n: t.to_pandas() for n, t in arrow.items()}
    assert str(compare(pandas, baseline="noisy")) == wanted


def test_every_list_of_metrics_is_of_the_registry():
    assert {*COMPARED, *HEADLINE, *CARD} <= METRICS.keys()
    assert [*of_table("main"), *of_table("ranking")] == list(METRICS)
    headings = [m.heading for m in METRICS.values()]
    assert len(set(headings)) == len(headings)
    figures = classification_metrics([0, 1, 2], [0, 1, 2], [0.1, 0.2, 0.3])
    for name, value in figures.items():
        if name in METRICS:
            metric = METRICS[name]
            assert metric.low <= value <= metric.high
            perfect = metric.low if metric.lower_is_better else metric.high
            assert value == perfect
