"""The table is computed from lines and predictions."""

import numpy as np
import pytest

from experiments.report.table import make_table
from jdcv_core.evaluation.compare import compare

FACTS = {
    "experiment": "mine",
    "baseline": "base",
    "data": {
        "name": "made up", "pairs": 1, "cvs": 1, "jds": 1, "label_counts": {"No Fit": 1},
        "duplicates_merged": 0, "conflicts_dropped": 0,
    },
    "encodings": [],
    "splits": {},
}  # fmt: skip
KINDS = {"top": "ceiling", "better": "variant", "base": "variant", "copy": "variant",
         "blind": "falsifier", "floor": "floor"}  # fmt: skip
QUALITY = {"top": 6.0, "better": 2.0, "base": 0.5, "copy": 0.5, "blind": 0.0, "floor": 0.2}


def cells(seeds=4, jds=15, pairs=8):
    """Make lines and columns of every row on two splits; "copy" is a copy of the baseline."""
    lines, columns = [], []
    for split in ("jd", "cv"):
        for name in KINDS:
            for seed in range(seeds):
                rng = np.random.default_rng([seed, split == "jd"])
                label = rng.integers(0, 3, jds * pairs)
                noise = np.random.default_rng([seed, list(QUALITY.values()).index(QUALITY[name])])
                score = 1 / (
                    1 + np.exp(-QUALITY[name] * (label - 1) - noise.normal(size=len(label)))
                )
                lines.append({"variant": name, "kind": KINDS[name], "split": split, "seed": seed,
                              "metrics": {"auc_good": float(score.mean())}})  # fmt: skip
                columns.append(
                    {
                        "seed": np.full(len(label), seed),
                        "jd": np.repeat(np.arange(jds), pairs),
                        "cv": np.tile(np.arange(pairs), jds),
                        "label": label,
                        "predicted": np.digitize(score, (0.4, 0.6)),
                        "score": score,
                    }
                )
    return lines, columns


def test_rows_stand_floors_first_and_the_ceiling_last_and_are_compared_on_each_split():
    lines, columns = cells()
    table = make_table(lines, columns, FACTS, ["weighted_f1", "auc_good"])
    assert table.names == ["floor", "better", "base", "copy", "blind", "top"]
    assert table.splits == ["jd", "cv"]
    for split in table.splits:
        mine = {n: [c for x, c in zip(lines, columns, strict=True)
                    if (x["variant"], x["split"]) == (n, split)] for n in KINDS}  # fmt: skip
        joined = {
            n: {k: np.concatenate([c[k] for c in cs]) for k in cs[0]} for n, cs in mine.items()
        }
        better = table.differences[split]["better"]["auc_good"]
        assert better["verdict"] == "better"
        expected = compare(
            joined, "base", metrics=["weighted_f1", "auc_good"], family=["better", "copy"]
        )
        for name, by_metric in expected.items():
            for metric, figures in by_metric.items():
                found = table.differences[split][name][metric]
                assert found.pop("verdict") == figures.pop("verdict")
                assert found == pytest.approx(figures, nan_ok=True)
        assert np.isnan(table.differences[split]["floor"]["auc_good"]["p_holm"])


def test_the_detectable_difference_uses_only_rows_that_vary():
    """It is undefined for a family of copies; next to a variant, a copy is ignored."""
    lines, columns = cells()
    table = make_table(lines, columns, FACTS, ["auc_good"])
    better = table.differences["jd"]["better"]["auc_good"]["detectable"]
    assert table.detectable["jd"]["auc_good"] == better > 0
    kept = [at for at, line in enumerate(lines) if line["variant"] != "better"]
    alone = make_table([lines[i] for i in kept], [columns[i] for i in kept], FACTS, ["auc_good"])
    assert np.isnan(alone.detectable["jd"]["auc_good"])


def test_dates_that_were_not_read_are_a_note():
    report = {
        "cvs": 1200, "experiences": 3500, "faulty": 4, "unread": 7, "cvs_with_unread": 3,
        "cvs_without_dates": 2, "newer": 0,
    }  # fmt: skip
    lines, columns = cells(seeds=2)
    said = make_table(lines, columns, FACTS | {"experiences": report}, ["auc_good"]).notes
    (note,) = (note for note in said if note.startswith("Dates"))
    assert "7 strings of 3 CVs look like dates and were not read" in note
    assert "newer" not in note
    older = {"cvs": 1200, "experiences": 3500}  # a record made before unread dates were counted
    said = make_table(lines, columns, FACTS | {"experiences": older}, ["auc_good"]).notes
    assert not any(note.startswith("Dates") for note in said)
