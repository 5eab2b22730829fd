"""`+exp=retrieval` as a user types it, small."""

import json
import math

import numpy as np
import pytest
from test_run import TINY

from jdcv_core.data.demo.corpus import demo_corpus, demo_grades


@pytest.mark.slow
def test_systems_are_compared_on_every_cv(run, tmp_path):
    done = run("+exp=retrieval", *TINY, "training.token_budget=null", "chunking.size=64")
    assert done.returncode == 0, done.stderr
    (folder,) = (tmp_path / "runs" / "retrieval").iterdir()
    assert not folder.name.endswith(".partial")
    table = json.loads((folder / "table.json").read_text())
    systems = {"first stage", "+ MaxSim", "BM25", "TF-IDF cosine", "RRF of BM25 and MaxSim"}
    assert set(table) == systems | {"+ mean over chunk pairs", "+ chunk attention"}
    lines = [json.loads(line) for line in (folder / "record.jsonl").read_text().splitlines()]
    assert {line["variant"] for line in lines} == set(table)
    for line in lines:
        values = [v for v in line["per_jd"]["ndcg"].values() if v is not None]
        assert math.isclose(np.mean(values), table[line["variant"]]["ndcg"]["mean"])
        assert set(line["per_jd"]["judged"].values()) == {1.0}
    examples = json.loads((folder / "examples.json").read_text())
    assert [len(example["matches"]) for example in examples] == [10, 10, 10]
    for match in examples[0]["matches"]:
        assert len(match["pairs"]) == 2
        assert match["id"] in done.stdout
    assert all(name in done.stdout for name in table)
    assert "judged CVs a JD: 48 to 48" in done.stdout


def test_grades_of_the_demo_corpus_are_its_labels_where_it_has_them():
    settings = {"cvs": 40, "jds": 36, "pairs_per_cv": 5}
    grades = demo_grades(**settings)
    dataset = demo_corpus(**settings)
    assert len(grades) == 36
    assert all(len(of_jd) == 40 for of_jd in grades.values())
    assert all(grades[p.jd][p.cv] == p.label for p in dataset.pairs)


def test_what_it_would_leave_out_is_refused(run):
    for word, what in (
        ("resume=auto", "resume=auto: retrieval has no use for it"),
        ("chunking.by=experience", "chunking.by=experience: rerankers of a corpus see no months"),
        (
            "+variants.tuned={_target_:jdcv_core.scoring.MeanPairs,tuning:lora}",
            "variants.tuned: a reranker reads the vectors of the index as they are",
        ),
    ):
        done = run("+exp=retrieval", *TINY, word)
        assert done.returncode == 2
        assert what in done.stderr
