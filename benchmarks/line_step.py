"""Measure what an update on line chunks costs: compare, then aggregate against other scorers.

The demo corpus is cut with `RequirementChunker`; its vectors are RANDOM, as wide as gpt2-mini's. An
update is that of `jdcv_core.training`: forward, backward and AdamW on one batch of pairs. The
scorers take turns on the same batches, and the median of each counts; the first batch is a warm-up.
The last line is one JSON object with
  seconds       of an update of each scorer
  over_mean     the same / those of the mean over chunk pairs
  words_seconds of `word_cosines` alone, a part of "all parts"
  aims          an update of every scorer of compare, then aggregate costs less than AIM seconds.
                The aim is for two quiet cores; see threads and load_at_start

  python benchmarks/line_step.py
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import nn

from jdcv_core.data.demo.generate import demo_corpus
from jdcv_core.encoding.gpt2_mini import gpt2_mini
from jdcv_core.encoding.term_weights import TermWeights
from jdcv_core.scoring import MeanPairs
from jdcv_core.training.loop import make_plan
from jdcv_core.training.pairs import PairTensors
from jdcv_core.training.settings import TrainingSettings
from jdcv_core.training.trainable import OnVectors
from research.chunk_attention import ChunkAttention
from research.compare_aggregate import CompareAggregate, word_cosines
from research.experience.requirement_chunking import RequirementChunker

DIM, BATCH = 256, 64
AIM = 0.25
SCORERS: dict[str, Callable[[], nn.Module]] = {
    "mean over chunk pairs": lambda: MeanPairs(DIM),
    "chunk attention": lambda: ChunkAttention(DIM),
    "compare, then aggregate": lambda: CompareAggregate(DIM),
    "all parts": lambda: CompareAggregate(DIM, months=True, level=True, words=True),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--updates", type=int, default=10, help="that count, of each scorer")
    parser.add_argument("--cache-dir", default="~/.cache/jdcv", help="that of experiments/run.py")
    options = parser.parse_args()
    load = os.getloadavg()[0]
    data = line_chunks(Path(options.cache_dir).expanduser())
    models = {name: OnVectors(make(), data).train() for name, make in SCORERS.items()}
    optimizers = {name: torch.optim.AdamW(model.parameters()) for name, model in models.items()}
    settings = TrainingSettings(steps=options.updates + 1, batch=BATCH)
    index = np.arange(len(data.labels))
    plan = make_plan(models["all parts"], index, settings, seed=0)
    times: dict[str, list[float]] = {name: [] for name in (*models, "words")}
    for pairs in map(torch.from_numpy, plan):
        for name, model in models.items():
            times[name].append(timed(partial(update, model, optimizers[name], pairs)))
        times["words"].append(timed(partial(word_cosines, *data.sides(pairs))))
    median = {name: float(np.median(each[1:])) for name, each in times.items()}
    words = median.pop("words")
    over = {name: value / median["mean over chunk pairs"] for name, value in median.items()}
    table = Table(title=f"An update of {BATCH} pairs of line chunks", box=None)
    for heading in ("scorer", "seconds", "/ mean"):
        table.add_column(heading, justify="right")
    for name, value in median.items():
        table.add_row(name, f"{value:.3f}", f"{over[name]:.1f}")
    Console().print(table)
    slowest = max(median["compare, then aggregate"], median["all parts"])
    counts = {side: float(np.median(getattr(data, side).counts)) for side in ("jd", "cv")}
    about = {"benchmark": "line_step", "pairs": BATCH, "dim": DIM, "median_chunks": counts,
             "threads": torch.get_num_threads(), "load_at_start": load}  # fmt: skip
    found = {"seconds": median, "over_mean": over, "words_seconds": words}
    print(json.dumps({**about, **found, "aims": {f"seconds_below_{AIM:g}": slowest < AIM}}))


def line_chunks(cache_dir: Path) -> PairTensors:
    """The demo corpus in lines, with months, words and random vectors."""
    dataset = demo_corpus()
    documents = [*dataset.side("cv"), *dataset.side("jd")]
    encoder = gpt2_mini(documents, cache_dir / "gpt2-mini", pooling="first_last")
    chunker = RequirementChunker(reference=dataset.facts.get("reference"))
    cut = chunker.cut(documents, encoder.tokenizer, encoder.max_tokens)
    chunks = dict(zip((d.id for d in documents), cut.chunks, strict=True))
    rng = np.random.default_rng(0)
    vectors = {i: rng.normal(size=(len(c), DIM)).astype(np.float32) for i, c in chunks.items()}
    months = {i: np.array([x.months for x in c]) for i, c in chunks.items() if c[0].months}
    tokens = {i: [x.tokens for x in c] for i, c in chunks.items()}
    words = TermWeights.fit(tokens, sorted(tokens))(tokens)
    return PairTensors.of(dataset.pairs, vectors, months, words)


def update(model: OnVectors, optimizer: torch.optim.Optimizer, pairs: torch.Tensor) -> None:
    """Update the weights once by the mean loss of `pairs`."""
    optimizer.zero_grad()
    model(pairs, model.labels[pairs]).mean().backward()
    optimizer.step()


def timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
