"""`+exp=retrieval` runs on a small corpus."""

import json
import math
import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from test_run import TINY

from experiments import validate
from experiments.cells.row import Row, documents_of, train_whitening
from experiments.recipes import retrieve
from jdcv_core.data.demo.generate import demo_corpus, demo_grades
from jdcv_core.data.splits import Split
from jdcv_core.errors import InputError
from jdcv_core.training.settings import TrainingSettings
from jdcv_core.types import Dataset, Document, Pair
from research.retrieval.segment import Entry

QUICK = TrainingSettings(steps=4, batch=8, evaluate_every=2)


@pytest.mark.slow
def test_systems_are_compared_on_every_cv(run, tmp_path):
    done = run("+exp=retrieval", *TINY, "training.token_budget=null", "chunking.size=64")
    assert done.returncode == 0, done.stderr
    (folder,) = (tmp_path / "runs" / "retrieval").iterdir()
    assert not folder.name.endswith(".partial")
    table = json.loads((folder / "table.json").read_text())
    systems = {"first stage", "MaxSim", "BM25", "TF-IDF cosine", "RRF of BM25 and MaxSim"}
    systems |= {"TF-IDF + MaxSim", "MaxSim, by requirement", "TF-IDF + MaxSim, by requirement"}
    rows = {"+ mean over chunk pairs", "+ chunk attention", "+ compare, then aggregate"}
    assert set(table) == systems | rows
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
    assert "For 48 CVs on this machine: Take " in done.stdout
    assert (folder / "index_types.png").stat().st_size > 10_000


@pytest.mark.slow
def test_index_types_are_compared_on_simulated_vectors(run, tmp_path):
    done = run("+exp=retrieval", "scale=2e3", "index_types=[flat,ivf-pq]")
    assert done.returncode == 0, done.stderr
    (folder,) = (tmp_path / "runs" / "retrieval").iterdir()
    rows = json.loads((folder / "index_types.json").read_text())
    assert {r["index_type"] for r in rows} == {"flat", "ivf-pq"}
    assert max(r["recall"] for r in rows) > 0.98
    assert min(r["recall"] for r in rows) < 0.9  # otherwise nothing is compared
    assert "For 2,000 CVs on this machine: Take " in done.stdout
    assert (folder / "index_types.png").stat().st_size > 10_000


def test_grades_of_the_demo_corpus_are_its_labels_where_it_has_them():
    settings = {"cvs": 40, "jds": 36, "pairs_per_cv": 5}
    grades = demo_grades(**settings)
    dataset = demo_corpus(**settings)
    assert len(grades) == 36
    assert all(len(of_jd) == 40 for of_jd in grades.values())
    assert all(grades[p.jd][p.cv] == p.label for p in dataset.pairs)


ENCODED = SimpleNamespace(encoder=SimpleNamespace(device="cpu"), months={})
"""What a reranker needs of the encoded documents, if it reads no words."""


def world(seed: int) -> tuple[Dataset, dict[str, np.ndarray], Split]:
    """Make pairs of 12 JDs and 20 CVs with random vectors, and a split by JD."""
    rng = np.random.default_rng(seed)
    names = [*(f"jd:{n:02}" for n in range(12)), *(f"cv:{n:02}" for n in range(20))]
    pairs = [
        Pair(f"cv:{c:02}", f"jd:{j:02}", int(rng.integers(0, 3)))
        for j in range(12)
        for c in rng.permutation(20)[:6]
    ]
    dataset = Dataset("small", {n: Document(n, n) for n in names}, pairs)
    vectors = {n: rng.standard_normal((2, 8)).astype(np.float32) for n in names}
    of = [int(p.jd[3:]) for p in pairs]
    parts = [tuple(i for i, j in enumerate(of) if j in r) for r in (range(7), (7, 8), (9, 10, 11))]
    return dataset, vectors, Split("jd", *parts)


def test_a_reranker_learns_from_training_pairs_alone():
    row = Row("mean", {"_target_": "jdcv_core.scoring.MeanPairs"}, "frozen", QUICK, {})
    dataset, vectors, split = world(1)

    def scores(changed: tuple[int, ...]) -> np.ndarray:
        pairs = [
            replace(p, label=2 - p.label) if i in changed else p
            for i, p in enumerate(dataset.pairs)
        ]
        told = replace(dataset, pairs=pairs)
        reranker = retrieve.train_reranker(row, told, ENCODED, vectors, split, 0)
        cvs = [Entry(f"cv:{n:02}", vectors[f"cv:{n:02}"]) for n in range(20)]
        return reranker(Entry("jd:11", vectors["jd:11"]), cvs)

    same = scores(())
    assert np.array_equal(scores(split.test), same)
    assert not np.array_equal(scores(split.train), same)


def test_whitening_sees_training_documents_alone():
    dataset, vectors, split = world(2)
    train = set(documents_of(dataset, split.train))
    others = [n for n in vectors if n not in train]
    assert others
    assert {f"jd:{n:02}" for n in (9, 10, 11)} <= set(others)
    fitted = train_whitening(dataset, vectors, split)
    elsewhere = train_whitening(dataset, vectors | {n: 9 * vectors[n] for n in others}, split)
    assert np.array_equal(fitted.matrix, elsewhere.matrix)
    one = min(train)
    inside = train_whitening(dataset, vectors | {one: 9 * vectors[one]}, split)
    assert not np.array_equal(fitted.matrix, inside.matrix)


@pytest.mark.parametrize(
    ("word", "what"),
    [
        ("scale=99.5", "scale=99.5: it is not a valid number. Give 100 or more."),
        ("scale=inf", "scale=inf: it is not a valid number. Give 100 or more."),
        ("scale=many", "scale=many"),
        ("scale=1e12", "CVs take"),
        ("index_types=[floppy]", "index type 'floppy': FAISS makes no index of it"),
        ("resume=auto", "this recipe has no key resume"),
        (
            "+variants.tuned={scorer:{_target_:jdcv_core.scoring.MeanPairs},tuning:lora}",
            "variants.tuned: a reranker reads the unchanged vectors of the index",
        ),
    ],
)
def test_settings_that_it_does_not_support_are_refused(word, what, tmp_path):
    words = ["+exp=retrieval", f"runs_dir={tmp_path}", word]
    with pytest.raises(InputError, match=re.escape(what)):
        start(words)
    assert not any(tmp_path.iterdir())


def start(words: list[str]) -> None:
    """Validate and run, as `experiments/run.py` does."""
    validate.overrides(words)
    with initialize_config_dir(str(validate.FOLDER), version_base="1.3"):
        config = compose("config", words)
    retrieve.run(config)
