"""What one very long CV costs: an epoch and a scoring with it, as a ratio to the same without it.

223 pairs with CVs of 2 to 12 chunks and JDs of 1 to 4; in the second set the CV of one pair has 665
chunks, as a CV of 680,000 characters has at 256 tokens a chunk. Self attention is trained for one
epoch (batches of 64) and scores all pairs. The two sets take turns within each repeat, and the
fastest repeat of each counts. The last line of the output is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Mapping

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from jdcv_core.scoring import score_vectors
from jdcv_core.training.loop import train
from jdcv_core.training.pairs import PairTensors
from jdcv_core.training.settings import TrainingSettings
from jdcv_core.training.trainable import OnVectors
from jdcv_core.types import Pair
from research.chunk_attention import ChunkAttention

PAIRS, JDS, BATCH = 223, 40, 64
AIM = 3.0
"""The most that one long CV may multiply the time of an epoch by."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--chunks", type=int, default=665, help="of the long CV")
    parser.add_argument("--dim", type=int, default=128, help="width of the chunk vectors")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    usual, pairs = documents(options.dim)
    long = {**usual, pairs[0].cv: vectors_of(options.chunks, options.dim, seed=1)}
    found: dict[str, dict[str, float]] = {}
    for name, run in (("epoch", epoch), ("scoring", scoring)):
        seconds = [[run(pairs, each) for each in (usual, long)] for _ in range(options.repeats)]
        without, with_it = np.min(seconds, axis=0)
        found[name] = {"without": without, "with": with_it, "ratio": with_it / without}
    table = Table(title=f"One CV of {options.chunks} chunks among {PAIRS} pairs", box=None)
    for heading in ("", "without s", "with s", "ratio"):
        table.add_column(heading, justify="right")
    for name, line in found.items():
        table.add_row(name, *(f"{value:.3f}" for value in line.values()))
    Console().print(table)
    aims = {f"{name}_ratio_at_most_{AIM:g}": f["ratio"] <= AIM for name, f in found.items()}
    about = {"benchmark": "outlier", "chunks": options.chunks, "dim": options.dim,
             "threads": torch.get_num_threads(), "load_at_start": os.getloadavg()[0]}  # fmt: skip
    print(json.dumps({**about, **found, "aims": {k: bool(v) for k, v in aims.items()}}))


def vectors_of(chunks: int, dim: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(chunks, dim)).astype(np.float32)


def documents(dim: int) -> tuple[dict[str, np.ndarray], list[Pair]]:
    """Chunk vectors by document id, and the pairs: each CV in one."""
    rng = np.random.default_rng(0)
    found = {f"jd:{i}": vectors_of(int(rng.integers(1, 5)), dim, i) for i in range(JDS)}
    pairs = []
    for i in range(PAIRS):
        found[f"cv:{i}"] = vectors_of(int(rng.integers(2, 13)), dim, 1000 + i)
        pairs.append(Pair(f"cv:{i}", f"jd:{i % JDS}", int(rng.integers(3))))
    return found, pairs


def epoch(pairs: list[Pair], vectors: Mapping[str, np.ndarray]) -> float:
    """Seconds of one epoch of self attention."""
    model = OnVectors(scorer_of(vectors), PairTensors.of(pairs, vectors))
    steps = -(-len(pairs) // BATCH)
    settings = TrainingSettings(steps=steps, batch=BATCH, evaluate_every=10**6)
    index = torch.arange(len(pairs))
    return timed(lambda: train(model, index, index[1:9], settings, seed=0))


def scoring(pairs: list[Pair], vectors: Mapping[str, np.ndarray]) -> float:
    """Seconds in which all pairs are scored, as `Matcher.score_pairs` does."""
    scorer = scorer_of(vectors)
    return timed(lambda: score_vectors(scorer, [(p.cv, p.jd) for p in pairs], vectors))


def scorer_of(vectors: Mapping[str, np.ndarray]) -> torch.nn.Module:
    torch.manual_seed(0)
    dim = next(iter(vectors.values())).shape[1]
    return ChunkAttention(dim, cross_cv=False, cross_jd=False)


def timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
