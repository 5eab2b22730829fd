"""What the demo opens with: the CVs of the demo corpus, and a small model trained on it. Ours.

The model is trained by `+exp=demo` at the first start, and kept in the cache next to the index.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import yaml

from jdcv_core.atomic import atomic_folder
from jdcv_core.data.demo.generate import demo_corpus
from jdcv_core.errors import InputError
from jdcv_core.progress import progress
from research.retrieval import Retriever

ROOT = Path(__file__).resolve().parents[1]
EXPERIMENT = ROOT / "configs" / "exp" / "demo.yaml"
"""It says what the corpus is, and trains the model on it."""
EXAMPLES = 12
"""JDs that the page offers."""
VERSION = 1
"""Increase it when the experiment or the corpus gives another model."""


def texts() -> tuple[dict[str, str], dict[str, str]]:
    """The CVs of the demo corpus, id → text, and some JDs, title → text."""
    corpus = demo_corpus(**yaml.safe_load(EXPERIMENT.read_text(encoding="utf-8"))["data"])
    cvs = {f"cv-{n:03d}": d.text for n, d in enumerate(corpus.side("cv"), start=1)}
    titles: dict[str, str] = {}
    for document in corpus.side("jd"):
        titles.setdefault(document.text.splitlines()[0], document.text)
    return cvs, dict(sorted(titles.items())[:EXAMPLES])


def trained_model(cache: Path) -> Path:
    """The folder of the small model; it is trained now if the cache has none.

    Raises InputError if the training fails; its own message is above.
    """
    folder = cache / "demo" / f"model-{VERSION}"
    if folder.exists():
        return folder
    with atomic_folder(folder) as space:
        command = [sys.executable, str(ROOT / "run.py"), "+exp=demo"]
        command += [f"cache_dir={cache}", f"runs_dir={space / 'runs'}"]
        done = subprocess.run(command, stdout=subprocess.DEVNULL)
        made = sorted((space / "runs").glob("demo/*/models/*"))
        if done.returncode or not made:
            raise InputError("the demo's model", "its training failed", f"try {' '.join(command)}")
        for part in made[0].iterdir():
            shutil.move(part, space / part.name)
        shutil.rmtree(space / "runs")
    return folder


def demo_index(cache: Path, model: Path | None) -> Retriever:
    """The index of the demo corpus's CVs by a model, made now if the cache has none.

    model: the folder of a saved matcher; None: `trained_model`
    """
    folder = trained_model(cache) if model is None else model
    place = cache / "demo" / f"index-{VERSION}"
    if model is None and place.exists():
        return Retriever.open(place, model=folder)
    with progress("Writing the demo corpus", None):
        cvs, _ = texts()
    return Retriever.build(place, cvs, model=folder, rebuild=place.exists())
