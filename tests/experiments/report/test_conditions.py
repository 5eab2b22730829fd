"""The tables over several records, and what the figure shows of them."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as parquet
import pytest
from matplotlib.axes import Axes

from experiments.report import conditions
from jdcv_core.errors import InputError
from jdcv_core.evaluation.compare import compare
from jdcv_core.evaluation.metrics import HEADLINE

STRENGTHS = {conditions.WORDS: 0.5, "weak": 0.1, "strong": 3.0}


def record(folder, condition, drop=(), splits=("jd",)):
    """Write the files that `read` needs: scores that follow the label as strongly as STRENGTHS."""
    rng = np.random.default_rng(len(condition))
    strengths = {name: s for name, s in STRENGTHS.items() if name not in drop}
    rows = []
    for seed in range(3):
        labels = rng.integers(0, 3, (30, 12))
        for name, strength in strengths.items():
            for split in splits:
                worth = strength if split == "jd" else 0.0
                scores = 1 / (1 + np.exp(-worth * (labels - 1) - rng.normal(size=labels.shape)))
                where = {"variant": name, "split": split, "seed": seed}
                for (jd, cv), score in np.ndenumerate(scores):
                    of = {"jd": f"jd:{jd}", "cv": f"cv:{cv}", "label": int(labels[jd, cv])}
                    predicted = int(3 * min(score, 0.999))
                    rows.append(where | of | {"score": score, "predicted": predicted})
    folder.mkdir(parents=True)
    parquet.write_table(pa.Table.from_pylist(rows), folder / "predictions.parquet")
    kinds = [
        {"name": n, "kind": "floor" if n == conditions.WORDS else "variant"} for n in strengths
    ]
    sweep = {"condition": condition} if condition else None
    about = {"experiment": "plain", "main_split": "jd", "rows": kinds, "sweep": sweep}
    (folder / "table.json").write_text(json.dumps(about))
    return folder


def cells(table):
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]


def test_the_differences_are_those_of_compare(tmp_path):
    folder = record(tmp_path / "a", "one_place")
    found = conditions.read(folder)
    table = parquet.read_table(folder / "predictions.parquet")
    rows = {name: table.filter(pc.equal(table["variant"], name)) for name in STRENGTHS}
    expected = compare(rows, conditions.WORDS, metrics=HEADLINE, family=["weak", "strong"])
    for name in ("weak", "strong"):
        for metric in HEADLINE:
            assert found.found[name][metric] == expected[name][metric]
    assert found.variants == ["weak", "strong"]
    assert found.name == "one place"
    assert found.found.verdict("strong", "auc_good") == "better"


def test_only_the_main_split_counts(tmp_path):
    folder = record(tmp_path / "a", "", splits=("jd", "cv"))
    found = conditions.read(folder)
    assert found.name == "plain"
    assert found.found.verdict("strong", "auc_good") == "better"
    assert np.mean(found.found.per_seed["strong"]["auc_good"]) > 0.9  # 0.7 with the other split


def test_a_condition_is_named_once_and_every_row_has_its_verdict(tmp_path):
    found = [
        conditions.read(record(tmp_path / name, name, drop))
        for name, drop in (("first", ()), ("second", ("weak",)))
    ]
    figures, differences = (
        cells(table(found)) for table in (conditions.figures_table, conditions.differences_table)
    )
    assert [row[:2] for row in figures[2:]] == [
        ["first", conditions.WORDS], ["", "weak"], ["", "strong"],
        ["second", conditions.WORDS], ["", "strong"],
    ]  # fmt: skip
    assert [row[:2] for row in differences[2:]] == [
        ["first", "weak"], ["", "strong"], ["second", "strong"]
    ]  # fmt: skip
    assert all(row[3].endswith("better") for row in differences[3:])
    assert {len(row) for row in figures + differences} == {5}
    both = conditions.as_markdown(found)
    assert conditions.figures_table(found) in both
    assert f"Differences to {conditions.WORDS}" in both


def test_the_figure_has_an_interval_for_every_row_that_all_conditions_have(tmp_path, monkeypatch):
    found = [
        conditions.read(record(tmp_path / name, name, drop))
        for name, drop in (("first", ()), ("second", ("weak",)))
    ]
    drawn = []
    draw = Axes.errorbar

    def watched(self, x, y, xerr, **look):
        drawn.append((x, x - xerr[0][0], x + xerr[1][0], look))
        return draw(self, x, y, xerr=xerr, **look)

    monkeypatch.setattr(Axes, "errorbar", watched)
    conditions.draw(tmp_path / "figure.png", found)
    assert (tmp_path / "figure.png").stat().st_size > 0
    ours = [c.found["strong"][metric] for metric in HEADLINE for c in found]
    for (x, low, high, look), one in zip(drawn, ours, strict=True):
        assert (x, low, high) == pytest.approx((one["difference"], one["low"], one["high"]))
        assert (look["markerfacecolor"] == "white") == one["verdict"].startswith("tie")


def test_the_curve_has_the_mean_of_every_row_under_every_condition(tmp_path, monkeypatch):
    found = [
        conditions.read(record(tmp_path / name, name, drop))
        for name, drop in (("first", ()), ("second", ("weak",)))
    ]
    drawn = {}
    draw = Axes.errorbar

    def watched(self, x, y, **look):
        drawn.setdefault(look["label"], []).append((y, look["yerr"]))
        return draw(self, x, y, **look)

    monkeypatch.setattr(Axes, "errorbar", watched)
    conditions.draw_curve(tmp_path / "curve.png", found, "place")
    assert (tmp_path / "curve.png").stat().st_size > 0
    assert list(drawn) == [conditions.WORDS, "strong"]  # "weak" has one condition only
    tables = conditions.curve_table(found).split("\n\n")
    for metric, (means, bars), table in zip(HEADLINE, drawn["strong"], tables, strict=True):
        each = [c.found.per_seed["strong"][metric] for c in found]
        assert means == pytest.approx([np.mean(own) for own in each])
        assert bars == pytest.approx([np.std(own, ddof=1) for own in each])
        assert [row[0] for row in cells(table)[2:]] == [conditions.WORDS, "strong"]
        assert cells(table)[0][1:] == ["first", "second"]


def test_a_folder_without_predictions_and_an_unknown_row_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"no predictions\.parquet.*runs/EXPERIMENT/ID"):
        conditions.read(tmp_path)
    with pytest.raises(InputError, match="no row 'stronk'.*'strong'"):
        conditions.read(record(tmp_path / "a", "a"), "stronk")
