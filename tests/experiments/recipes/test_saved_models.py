"""Every row of a table is saved, and a new process scores, indexes and searches with it as the
recipe did."""

import json
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as parquet
import pytest
from hydra import compose, initialize_config_dir

from experiments import validate
from experiments.recipes import match
from jdcv_core.data.demo.generate import demo_corpus

TINY = (
    "data.cvs=48", "data.jds=48", "data.pairs_per_cv=6", "seeds=[0]", "floors=[majority]", "jobs=1",
    "+encoder.layers=1", "+encoder.width=32", "+encoder.heads=2", "+encoder.vocabulary=600",
    "+encoder.train_tokens=4000", "training.steps=5", "save_models=true",
)  # fmt: skip
LOADED = """
import json, sys
from pathlib import Path
from jdcv_core import Matcher
from research.retrieval import Retriever

folder, given = Path(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text())
matcher = Matcher.from_pretrained(folder, device="cpu")
scores = matcher.score_pairs(cvs=given["cvs"], jds=given["jds"]).tolist()
index = Retriever.build(folder.parent / "x.index", given["texts"], model=folder, device="cpu")
found = index.search(jd=given["jds"][0], k=5, rerank=48)
print(json.dumps({
    "scores": scores, "chunker": matcher.chunker.arguments(),
    "found": [[m.id, m.score] for m in found],
}))
"""


@pytest.mark.parametrize(
    ("name", "rows", "words"),
    [
        ("experience", ["uniform", "chunk attention, log W"], ()),
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
    models = sorted((record / "models").iterdir())
    assert len(models) == len(rows)
    for row in rows:
        lines = [line for line in table if line["variant"] == row]
        assert len(lines) > 20
        given = {
            "cvs": [texts[line["cv"]] for line in lines],
            "jds": [texts[line["jd"]] for line in lines],
            "texts": {d.id: d.text for d in dataset.side("cv")},
        }
        (folder,) = (m for m in models if m.name == match_name(row))
        found = in_new_process(folder, given, tmp_path)
        wanted = [line["score"] for line in lines]
        assert found["scores"] == pytest.approx(wanted, abs=1e-6)
        if name == "experience":
            assert found["chunker"] == {"size": 256, "overlap": 0, "reference": "2024-06"}
        by_cv = {
            line["cv"]: line["score"] for line in lines if texts[line["jd"]] == given["jds"][0]
        }
        reranked = {i: score for i, score in found["found"] if i in by_cv}
        assert len(found["found"]) == 5
        assert all(score == pytest.approx(by_cv[i], abs=1e-6) for i, score in reranked.items())
        scores = [score for _, score in found["found"]]
        assert scores == sorted(scores, reverse=True)


def match_name(row: str) -> str:
    from experiments.cells.save_model import model_folder

    return model_folder(Path(), row).name


def in_new_process(folder: Path, given: dict, tmp_path: Path) -> dict:
    path = tmp_path / "given.json"
    path.write_text(json.dumps(given))
    command = [sys.executable, "-c", LOADED, str(folder), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    index = folder.parent / "x.index"
    for part in sorted(index.rglob("*"), reverse=True):
        part.rmdir() if part.is_dir() else part.unlink()
    index.rmdir()
    return json.loads(done.stdout.splitlines()[-1])
