"""Every row of a table is saved, and a new process scores, indexes and searches with it as the
recipe did."""

import json
import subprocess
import sys

import pyarrow.parquet as parquet
import pytest
from hydra import compose, initialize_config_dir

from experiments import validate
from experiments.cells.save_model import model_folder
from experiments.recipes import match
from jdcv_core.data.demo.generate import demo_corpus

TINY = (
    "data.cvs=48", "data.jds=48", "data.pairs_per_cv=6", "seeds=[0]", "floors=[majority]", "jobs=1",
    "+encoder.layers=1", "+encoder.width=32", "+encoder.heads=2", "+encoder.vocabulary=600",
    "++encoder.train_tokens=4000", "training.steps=5", "save_models=true",
)  # fmt: skip
LOADED = """
import json, sys, tempfile
from pathlib import Path
from jdcv_core import Matcher
from research.retrieval import Retriever

answers = {}
for folder, given in json.loads(Path(sys.argv[1]).read_text()).items():
    matcher = Matcher.from_pretrained(folder, device="cpu")
    scores = matcher.score_pairs(cvs=given["cvs"], jds=given["jds"]).tolist()
    with tempfile.TemporaryDirectory() as space:
        place = Path(space) / "index"
        index = Retriever.build(place, given["texts"], model=folder, device="cpu")
        found = index.search(jd=given["jds"][0], k=5, rerank=48)
    answers[folder] = {
        "scores": scores,
        "chunker": matcher.chunker.arguments(),
        "found": [[m.id, m.score] for m in found],
    }
print(json.dumps(answers))
"""


@pytest.mark.parametrize(
    ("name", "rows", "words"),
    [
        ("experience", ["uniform", "chunk attention, log W"], ()),
        pytest.param(
            "full_stack",
            ["mean over chunk pairs", "+ words (all)"],
            (),
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "ablation",
            ["mean over chunk pairs", "random chunk", "LSTM over chunks (RoBERT)", "poly-codes",
             "chunk attention, random attention"],
            ("match_parameters=true", "split.also=[]", "attribution=false"),
            marks=pytest.mark.slow,
        ),
    ],
)  # fmt: skip
def test_a_new_process_scores_as_the_recipe_did(name, rows, words, cache, tmp_path):
    shown = ",".join(f"'{row}'" for row in rows)
    places = (f"runs_dir={tmp_path}/runs", f"cache_dir={cache}", f"rows=[{shown}]")
    with initialize_config_dir(str(validate.FOLDER), version_base="1.3"):
        config = compose("config", [f"+exp={name}", *TINY, *words, *places])
    validate.settings(config)
    record = match.run(config)
    arguments = {k: v for k, v in config.data.items() if k != "_target_"}
    dataset = demo_corpus(**arguments)
    table = parquet.read_table(record / "predictions.parquet").to_pylist()
    texts = {i: d.text for i, d in dataset.documents.items()}
    assert len(list((record / "models").iterdir())) == len(rows)
    lines = {
        str(model_folder(record, row)): [line for line in table if line["variant"] == row]
        for row in rows
    }
    given = {
        folder: {
            "cvs": [texts[line["cv"]] for line in own],
            "jds": [texts[line["jd"]] for line in own],
            "texts": {d.id: d.text for d in dataset.side("cv")},
        }
        for folder, own in lines.items()
    }
    (tmp_path / "given.json").write_text(json.dumps(given))
    command = [sys.executable, "-c", LOADED, str(tmp_path / "given.json")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout.splitlines()[-1])
    for folder, own in lines.items():
        found, asked = answers[folder], given[folder]["jds"][0]
        assert len(own) > 20
        assert found["scores"] == pytest.approx([line["score"] for line in own], abs=1e-6)
        if name == "experience":
            assert found["chunker"] == {"size": 256, "overlap": 0, "reference": "2024-06"}
        by_cv = {line["cv"]: line["score"] for line in own if texts[line["jd"]] == asked}
        scores = [score for _, score in found["found"]]
        assert len(scores) == 5
        assert scores == sorted(scores, reverse=True)
        for cv, score in found["found"]:
            if cv in by_cv:
                assert score == pytest.approx(by_cv[cv], abs=1e-6)
