"""How fast the demo answers, with the small model of the demo on many generated CVs.

    python benchmarks/demo.py [--cvs 1000]

The model and its index are made first, in an empty cache, as at the first start: `open_seconds`.
Then a JD is searched, and a CV is changed in different ways, each of which is a new text.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from statistics import median

from experiments.demo.demo_server import open_demo
from experiments.demo.desk import Desk
from experiments.demo.what_if import Change, lines_of, outcome
from jdcv_core.data.demo.generate import demo_corpus
from research.retrieval import Retriever

CHANGES = 20


def timed(work, *arguments, **named):
    """(result, seconds) of a call."""
    start = time.perf_counter()
    found = work(*arguments, **named)
    return found, time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cvs", type=int, default=1000)
    cvs = parser.parse_args().cvs
    with tempfile.TemporaryDirectory() as space:
        opened, first = timed(open_demo, Path(space) / "cache")
        corpus = demo_corpus(cvs=cvs, jds=32, pairs_per_cv=4, length=0.5, seed=1)
        texts = {f"cv-{n}": d.text for n, d in enumerate(corpus.side("cv"))}
        model = opened.index.model.reader.matcher
        index = Retriever.build(Path(space) / "many", texts, model=model)
        desk = Desk(index)
        jds = [d.text for d in corpus.side("jd")[:5]]
        desk.search(jds[0], 10)
        searches = [timed(desk.search, jd, 10)[1] for jd in jds]
        ranking = desk.ranking
        name = list(ranking.scores)[len(texts) // 2]
        cv = texts[name]
        _, explained = timed(desk.explain, name)
        changes = [Change(left_out=(line,), months=3 * n)
                   for n, line in enumerate(list(lines_of(cv))[1 : CHANGES + 1])]  # fmt: skip
        seconds = [timed(outcome, model, ranking, name, cv, change)[1] for change in changes]
    found = {
        "cvs": len(texts),
        "open_seconds": round(first, 1),
        "search_seconds": round(median(searches), 2),
        "explain_seconds": round(explained, 2),
        "what_if_seconds": round(median(seconds), 3),
        "what_if_slowest": round(max(seconds), 3),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
