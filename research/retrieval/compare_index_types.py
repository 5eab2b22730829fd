"""Index types side by side: how many of exact MaxSim's best documents each finds, how fast, and
what it costs to build and to hold. Ours; recall against queries a second after ANN-Benchmarks
(Aumüller, Bernhardsson & Faithfull 2020).
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from jdcv_core.progress import progress
from research.retrieval.evaluation import Point, document_recall
from research.retrieval.exact import exact_maxsim
from research.retrieval.index_folder import SEGMENT, Corpus
from research.retrieval.search import Depth, Match, search, unit

DEPTHS = (3, 6, 12, 24)
"""Candidates for each document that is asked for."""
PROBED = (64, 32, 16, 8, 4)
"""One list in so many is probed."""
SECONDS = 20.0
"""A setting is measured no longer; queries that are left out count for nothing."""


@dataclass(frozen=True)
class Measured:
    """One setting of one index type.

    kind:             of the index, see `FaissIndex`
    depth:            the setting
    recall:           the share of exact MaxSim's k best documents among the k found
    per_second:       queries, one after the other
    p50_ms, p99_ms:   of a query
    bytes_per_vector: resident bytes a chunk vector
    build_seconds:    of this type
    queries:          that were measured
    """

    kind: str
    depth: Depth
    recall: float
    per_second: float
    p50_ms: float
    p99_ms: float
    bytes_per_vector: float
    build_seconds: float
    queries: int

    @property
    def point(self) -> Point:
        """For `pareto` and `recommend`."""
        lists = f", {self.depth.effort} lists" if self.depth.effort else ""
        return Point(
            f"{self.kind}{lists}, {self.depth.depth} candidates", self.recall, self.per_second
        )


def compare_types(
    make: Callable[[Path, str], Corpus], kinds: Sequence[str], queries: Sequence[np.ndarray], k: int
) -> list[Measured]:
    """Every setting of every index type, measured by the same queries.

    make:    (folder, kind) → the corpus, built there; the same documents each time
    kinds:   see `FaissIndex`
    queries: chunk vectors float32 [chunk, dim] of each
    k:       documents that count
    The folders lie where temporary files do, and are removed after each type.
    """
    found: list[Measured] = []
    truth: list[list[str]] = []
    for kind in kinds:
        with tempfile.TemporaryDirectory() as space:
            started = time.perf_counter()
            corpus = make(Path(space) / "index", kind)
            built = time.perf_counter() - started
            truth = truth or exact_best(corpus, queries, k)[0]
            resident = corpus.nbytes() / int(corpus.starts[-1])
            depths = settings(corpus, k)
            with progress(f"Searching {kind}", len(depths)) as advance:
                for depth in depths:
                    times, matches = timed(corpus, queries, k, depth, SECONDS)
                    share = recall(matches, truth[: len(matches)], k)
                    p50, p99 = (float(np.quantile(times, q) * 1e3) for q in (0.5, 0.99))
                    rate = 1 / float(np.mean(times))
                    numbers = (share, rate, p50, p99, resident, built, len(times))
                    found.append(Measured(kind, depth, *numbers))
                    advance()
    return found


def settings(corpus: Corpus, k: int) -> list[Depth]:
    """How far a search may look, from little to much, as far as this corpus and index allow."""
    lists = max((index.lists for index, _ in corpus.chunks), default=0)
    efforts = sorted({max(1, lists // part) for part in PROBED}) if lists else [None]
    depths = sorted({min(len(corpus), k * times) for times in DEPTHS})
    return [Depth(hits=2 * d, depth=d, effort=e) for e in efforts for d in depths]


def timed(
    corpus: Corpus,
    queries: Sequence[np.ndarray],
    k: int,
    depth: Depth,
    most_seconds: float = float("inf"),
) -> tuple[np.ndarray, list[list[Match]]]:
    """Seconds of each query by itself, and what was found; no query begins after most_seconds."""
    search(corpus, queries[0], k, depth)  # the first one pages in and makes threads
    times: list[float] = []
    found: list[list[Match]] = []
    for query in queries:
        started = time.perf_counter()
        found.append(search(corpus, query, k, depth))
        times.append(time.perf_counter() - started)
        if sum(times) > most_seconds:
            break
    return np.array(times), found


def exact_best(
    corpus: Corpus, queries: Sequence[np.ndarray], k: int, threads: int | None = None
) -> tuple[list[list[str]], float]:
    """The k best documents of each query by MaxSim over all vectors, best first; and seconds, in
    one batch, without reading the vectors from the disk.

    threads: None: one a core
    """
    reading = 0.0

    def blocks() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        nonlocal reading
        for at in range(0, len(corpus), SEGMENT):
            started = time.perf_counter()
            rows, starts = corpus.rows(np.arange(at, min(at + SEGMENT, len(corpus))))
            rows = unit(rows)
            reading += time.perf_counter() - started
            yield rows, starts
            advance(len(starts) - 1)

    units = [unit(query) for query in queries]
    started = time.perf_counter()
    with threadpool_limits(1), progress("Exact MaxSim", len(corpus)) as advance:
        _, best = exact_maxsim(units, blocks(), k, threads or os.cpu_count() or 1)
    seconds = time.perf_counter() - started - reading
    return [[corpus.ids[d] for d in row] for row in best], seconds


def recall(found: Sequence[Sequence[Match]], truth: Sequence[Sequence[str]], k: int) -> float:
    """The share of the true k best that is among the k found, mean over queries."""
    ours = {str(n): [m.id for m in matches[:k]] for n, matches in enumerate(found)}
    return float(np.mean([*document_recall(ours, dict(zip(ours, truth, strict=True)), k).values()]))
