"""Labels of two classes, from the dataset to the table: what is a figure, and what says n/a."""

import json

import numpy as np
import pytest

from experiments.cells.cell import Cell, joined, measure
from experiments.cells.row import rows_of
from experiments.figures import result_figures, training_figures
from experiments.recipes.prepare import check_objectives
from experiments.report import ablation
from experiments.report.table import as_json, make_table
from experiments.schema import MatchConfig, RowConfig
from jdcv_core.data.splits import make_split
from jdcv_core.errors import InputError
from jdcv_core.types import Dataset, Document, Pair

NEEDY = ("F1 Pot", "MAE", "far")


def dataset_of(classes):
    """24 JDs with 6 CVs each, whose labels are drawn from these classes."""
    rng = np.random.default_rng(0)
    cvs, jds = [f"cv:{i:02}" for i in range(24)], [f"jd:{i:02}" for i in range(24)]
    pairs = [
        Pair(str(cv), jd, int(rng.choice(classes)))
        for jd in jds
        for cv in rng.choice(cvs, 6, replace=False)
    ]
    documents = {i: Document(i, f"the text {' '.join(rng.choice([*'abcdefghij'], 30))} of {i}")
                 for i in cvs + jds}  # fmt: skip
    return Dataset("mine", documents, sorted(pairs, key=lambda p: (p.jd, p.cv)))


@pytest.fixture(scope="module")
def experiment():
    """The facts, lines and columns of an experiment of three rows and two seeds on 0/1 labels."""
    dataset = dataset_of((0, 2))
    labels = np.array([p.label for p in dataset.pairs])
    lines, columns = [], []
    for seed in (0, 1):
        split = make_split(dataset, "jd", seed=seed)
        for place, name in enumerate(("base", "other", "third")):
            rng = np.random.default_rng([seed, place])
            scores = 1 / (1 + np.exp(-(labels - 1) * (1 + place) - rng.normal(size=len(labels))))
            line, own = measure(Cell(name, "variant", scores), dataset, split, seed)
            lines.append(json.loads(json.dumps(line).replace("NaN", "null")))
            columns.append(own)
    counts = {"No Fit": int((labels == 0).sum()), "Potential Fit": 0,
              "Good Fit": int((labels == 2).sum())}  # fmt: skip
    data = {"name": "mine", "pairs": len(labels), "cvs": 24, "jds": 24, "label_counts": counts,
            "duplicates_merged": 0, "conflicts_dropped": 0,
            "labels_read": {"0": "No Fit", "1": "Good Fit"}}  # fmt: skip
    config = {"training": {"balance": [0.4, 0.3, 0.3]}}
    facts = {"experiment": "mine", "baseline": "base", "data": data, "encodings": [], "splits": {},
             "config": config, "git": None, "config_hash": "c"}  # fmt: skip
    return dataset, facts, lines, columns


def table_of(experiment):
    _, facts, lines, columns = experiment
    return make_table(lines, columns, facts, ["weighted_f1", "distant", "auc_good", "ndcg"])


def test_predictions_are_of_the_two_classes_and_the_cuts_are_one(experiment):
    _, _, lines, columns = experiment
    assert all(low == high for low, high in (line["thresholds"] for line in lines))
    assert set(joined(columns)["predicted"].tolist()) == {0, 2}


def test_what_needs_three_classes_says_so_and_the_rest_is_a_number(experiment):
    _, facts, _, _ = experiment
    table = table_of(experiment)
    text = ablation.markdown(table, facts)
    (head, *rows) = ablation.grids(table)[0][1:][0], *ablation.grids(table)[0][2]
    for row in rows:
        shown = dict(zip(head, row, strict=True))
        assert {name for name in head if shown[name] == "n/a"} == set(NEEDY)
    for name in NEEDY:
        assert f"{name}: n/a: needs three classes" in text
    assert "The labels look binary and are taken so: 0 → No Fit, 1 → Good Fit." in text
    assert "F1 Pot, MAE, far are n/a (they need three classes)" in text
    assert "[0.4, 0.3, 0.3] is taken as No Fit 0.571, Good Fit 0.429" in text
    assert "Potential Fit 0" not in text
    assert "nan" not in text
    found = json.loads(json.dumps(as_json(table, "")).replace("NaN", "null"))
    assert found["classes"] == 2
    assert found["metrics"]["distant"]["meaning"] == "n/a: needs three classes"
    figures = found["rows"][0]["figures"]["jd"]
    undefined = {name for name, figure in figures.items() if figure["mean"] is None}
    assert undefined == {"f1_potential", "mae_classes", "distant"}
    assert table.ceilings["1"]["macro_f1"] == pytest.approx(1)


def test_a_better_row_is_found_on_two_classes(experiment):
    difference = table_of(experiment).differences["jd"]["third"]["auc_good"]
    assert difference["difference"] > 0.02
    assert np.isnan(table_of(experiment).differences["jd"]["third"]["distant"]["difference"])


def test_figures_show_the_two_classes(experiment, tmp_path):
    dataset, _, lines, columns = experiment
    predictions = joined(columns)
    result_figures.prediction_figures(tmp_path, predictions)
    result_figures.table_figure(tmp_path, table_of(experiment))
    drawn = training_figures.draw_per_class(predictions)
    names = [text.get_text() for text in drawn.legends[0].get_texts()]
    assert names == ["No Fit", "Good Fit"]
    assert {p.stem for p in tmp_path.glob("*.png")} == {"confusion", "scores", "comparison"}
    assert dataset.classes == (0, 2)


def test_losses_of_ordered_classes_are_refused_by_name():
    scorer = {"_target_": "jdcv_core.scoring.MeanPairs", "train_on": "chunk_pairs"}
    names = ("mse", "softmax", "coral", "corn")
    config = MatchConfig(encoder={}, data={})
    config.variants = {n: RowConfig(scorer={**scorer, "objective": n}) for n in names}
    rows = rows_of(config)
    check_objectives(rows, dataset_of((0, 1, 2)))
    check_objectives(rows[:2], dataset_of((0, 2)))
    with pytest.raises(InputError, match=r"variants.coral: .*labels have two.*'rows=\[mse, soft"):
        check_objectives(rows, dataset_of((0, 2)))
