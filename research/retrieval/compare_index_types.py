"""Compares index types: how many of exact MaxSim's best documents each type finds, how fast it is,
and what it costs to build and to keep in memory. Ours; the plot of recall against queries a second
is that of ANN-Benchmarks (Aumüller, Bernhardsson & Faithfull 2020).
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
from research.retrieval.evaluation import document_recall
from research.retrieval.exact import exact_maxsim
from research.retrieval.index_folder import IndexFolder
from research.retrieval.pareto import Point
from research.retrieval.search import Candidate, Depth, search
from research.retrieval.segment import SIZE, Entry
from research.retrieval.vector_index import unit_rows

DEPTHS = (3, 6, 12, 24)
"""Candidates for each of the k documents."""
PROBED = (64, 32, 16, 8, 4)
"""One list in so many is probed."""
SECONDS = 20.0
"""The longest time for one setting; queries that did not begin in it are left out."""


@dataclass(frozen=True)
class Measured:
    """One setting of one index type.

    index_type:       see `FaissIndex`
    depth:            the setting
    recall:           the share of exact MaxSim's k best documents among the k found, in [0, 1]
    per_second:       queries a second, one after the other
    p50_ms, p99_ms:   median and 99th percentile of a query's time, in milliseconds
    bytes_per_vector: resident bytes for each chunk vector
    build_seconds:    seconds to build the index
    queries:          how many were measured
    """

    index_type: str
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
        """The same for `pareto` and `recommend`."""
        lists = f", {self.depth.effort} lists" if self.depth.effort else ""
        name = f"{self.index_type}{lists}, {self.depth.depth} candidates"
        return Point(name, self.recall, self.per_second)


def compare_types(
    make: Callable[[Path, str], IndexFolder],
    index_types: Sequence[str],
    queries: Sequence[np.ndarray],
    k: int,
) -> list[Measured]:
    """Measure every setting of every index type with the same queries.

    make:        (folder, index type) → the index, built there; the same documents each time
    index_types: see `FaissIndex`
    queries:     chunk vectors float32 [chunk, dim] of each
    k:           documents that count

    The folders are temporary, and each is removed before the next type is measured.
    """
    found: list[Measured] = []
    truth: list[list[str]] = []
    for index_type in index_types:
        with tempfile.TemporaryDirectory() as space:
            started = time.perf_counter()
            index = make(Path(space) / "index", index_type)
            built = time.perf_counter() - started
            truth = truth or exact_best(index, queries, k)[0]
            resident = index.nbytes() / int(index.starts[-1])
            depths = settings(index, k)
            with progress(f"Searching {index_type}", len(depths)) as advance:
                for depth in depths:
                    times, candidates = timed(index, queries, k, depth, SECONDS)
                    share = recall(candidates, truth[: len(candidates)], k)
                    p50, p99 = (float(np.quantile(times, q) * 1e3) for q in (0.5, 0.99))
                    rate = 1 / float(np.mean(times))
                    numbers = (share, rate, p50, p99, resident, built, len(times))
                    found.append(Measured(index_type, depth, *numbers))
                    advance()
    return found


def settings(index: IndexFolder, k: int) -> list[Depth]:
    """The depths to measure, from little to much, as far as the index allows."""
    lists = max((part.lists for part, _ in index.chunks), default=0)
    efforts = sorted({max(1, lists // part) for part in PROBED}) if lists else [None]
    depths = sorted({min(len(index), k * times) for times in DEPTHS})
    return [Depth(hits=2 * d, depth=d, effort=e) for e in efforts for d in depths]


def timed(
    index: IndexFolder,
    queries: Sequence[np.ndarray],
    k: int,
    depth: Depth,
    most_seconds: float = float("inf"),
) -> tuple[np.ndarray, list[list[Candidate]]]:
    """The seconds of each query, one after the other, and what it found. No query begins after
    most_seconds."""
    entries = [Entry("", query) for query in queries]
    search(index, entries[0], k, depth)  # the first call pages in and starts threads
    times: list[float] = []
    found: list[list[Candidate]] = []
    for query in entries:
        started = time.perf_counter()
        found.append(search(index, query, k, depth))
        times.append(time.perf_counter() - started)
        if sum(times) > most_seconds:
            break
    return np.array(times), found


def exact_best(
    index: IndexFolder, queries: Sequence[np.ndarray], k: int, threads: int | None = None
) -> tuple[list[list[str]], float]:
    """The k best documents of each query by MaxSim over all vectors, best first; and the seconds of
    the whole batch, without the time to read the vectors from the disk.

    threads: None: one for each core
    """
    reading = 0.0

    def blocks() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        nonlocal reading
        for at in range(0, len(index), SIZE):
            started = time.perf_counter()
            rows, starts = index.rows(np.arange(at, min(at + SIZE, len(index))))
            rows = unit_rows(rows)
            reading += time.perf_counter() - started
            yield rows, starts
            advance(len(starts) - 1)

    units = [unit_rows(query) for query in queries]
    started = time.perf_counter()
    with threadpool_limits(1), progress("Exact MaxSim", len(index)) as advance:
        _, best = exact_maxsim(units, blocks(), k, threads or os.cpu_count() or 1)
    seconds = time.perf_counter() - started - reading
    return [[index.ids[d] for d in row] for row in best], seconds


def recall(found: Sequence[Sequence[Candidate]], truth: Sequence[Sequence[str]], k: int) -> float:
    """The share of the true k best that is among the k found, mean over queries."""
    ours = {str(n): [c.id for c in own[:k]] for n, own in enumerate(found)}
    return float(np.mean([*document_recall(ours, dict(zip(ours, truth, strict=True)), k).values()]))
