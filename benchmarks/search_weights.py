"""Measure how well search by words and vectors ranks, by their weights and by the chunk size.

    python benchmarks/search_weights.py

The demo corpus, all CVs judged by its formula, and all-MiniLM-L6-v2 of the extra `offline`. The
last line is one JSON object: ndcg, chunk size → "words:vectors" → mean nDCG@10 over the JDs.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

from jdcv_core.data.demo.generate import demo_corpus, demo_grades
from jdcv_core.evaluation.ranking import mean_over_queries
from research.retrieval import Retriever, Weights, retrieval_metrics

SIZES = (254, 128, 64)
WEIGHTS = ((0, 1), (1, 1), (2, 1), (4, 1), (10, 1), (1, 0))


def main() -> None:
    options = arguments()
    settings = {"cvs": options.cvs, "jds": options.cvs}
    texts = {name: d.text for name, d in demo_corpus(**settings).documents.items()}
    cvs = {name: text for name, text in texts.items() if name.startswith("cv:")}
    asked = [name for name in texts if name.startswith("jd:")][: options.jds]
    grades = demo_grades(**settings)
    qrels = {name: grades[name] for name in asked}
    found: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as space:
        for size in SIZES:
            index = Retriever.build(Path(space) / str(size), cvs, chunk_size=size, cache_dir=space)
            found[str(size)] = {}
            for words, vectors in WEIGHTS:
                run = index.rank(
                    {name: texts[name] for name in asked},
                    len(cvs),
                    weights=Weights(words, vectors),
                )
                value = mean_over_queries(retrieval_metrics(qrels, run)["ndcg"])
                found[str(size)][f"{words}:{vectors}"] = value
                print(f"{size} tokens, words {words} : vectors {vectors}: {value:.3f}", flush=True)
    print(json.dumps({"benchmark": "search_weights", "cvs": options.cvs, "ndcg": found}))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cvs", type=int, default=160, help="default: %(default)s")
    parser.add_argument("--jds", type=int, default=60, help="default: %(default)s")
    return parser.parse_args()


if __name__ == "__main__":
    main()
