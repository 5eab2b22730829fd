"""Measure recall, speed and memory of approximate search over a million simulated CVs, in one run.

    python benchmarks/retrieval.py
    python benchmarks/retrieval.py --cvs 60000 --jds 50      # a minute

The last line is one JSON object:

    recall_at_100     share of exact MaxSim's 100 best CVs that are among the 100 found. All figures
                      are those of one setting: the fastest with a recall of at least .98, or the
                      setting with the highest recall. recall_at_10 is defined in the same way
    recall_one_by_one recall_at_100 of the same JDs with sequential queries
    qps_ratio         JDs per second / those of exact MaxSim, with sequential queries and the same
                      threads. Exact search computes matrix products over all chunk vectors in
                      memory (`exact.maxsim_all`); reading them from the disk is not counted
    qps_ratio_batch   the same ratio with all JDs in one batch, where exact search reads each vector
                      once for all JDs
    bytes_per_vector  resident bytes per chunk vector: codes of chunks and means, row numbers, maps
    p50_ms, p99_ms    latency of 1,000 sequential JDs: retrieve, exact MaxSim, 200 best
    hybrid_p50_ms, hybrid_p99_ms  the same by words and vectors: the candidates of both, the exact
                      scores of both for all of them, 200 best
    reranked_p99_ms   the same, and chunk attention (untrained) scores the 200 best
    lexical_recall_at_100  share of the 100 best CVs by TF-IDF that are candidates by words (20 JDs)
    hybrid_overlap_at_100  share of the 100 CVs found with 4,000 candidates by words and by vectors
                      that are among the 100 found (20 JDs)
    lexical_bytes_per_cv, lexical_memory_per_cv  bytes of the words of a CV on the disk, and in
                      memory; vectors take vector_bytes_per_cv on the disk
    words_seconds     seconds to weigh the words of all CVs after the index was opened
    build_peak_ratio  (peak memory of the building process, ru_maxrss, minus its memory after the
                      imports and minus one segment of vectors) / resident size of the index
    build_peak_over_disk  the same numerator / size of all files of the index, with vectors
    erase_seconds     seconds to open the index for a change and to remove one CV
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from research.chunk_attention import ChunkAttention
from research.retrieval.compare_index_types import exact_best, recall, timed
from research.retrieval.fused_scores import Weights
from research.retrieval.index_folder import IndexFolder
from research.retrieval.order import k_best
from research.retrieval.pareto import Point, pareto, recommend
from research.retrieval.reranking import scorer_reranker
from research.retrieval.search import Depth, search, search_many
from research.retrieval.segment import SIZE, Entry
from research.retrieval.simulated_vectors import Simulated
from research.retrieval.vector_index import use_threads
from research.retrieval.word_search import WordIndex

SETTINGS = [
    Depth(hits=2000, depth=1600, effort=256),
    Depth(hits=2000, depth=1200, effort=384),
    Depth(hits=2000, depth=1000, effort=512),
    Depth(hits=4000, depth=2000, effort=512),
    Depth(hits=4000, depth=2000, effort=1024),
    Depth(hits=8000, depth=3000, effort=1024),
]
"""Settings from the fastest to the slowest; they are tried until one reaches the recall AIM."""
WIDE = Depth(hits=8000, depth=4000, effort=1024, words=4000)
COMPARED = 20
"""Number of JDs whose results are compared with exact scores by words and with a wide search."""
ALONE, TIMED = 5, 1000
"""Number of sequential JDs for exact search and for the index."""
AIM = 0.98


def main() -> None:
    options = arguments()
    use_threads(options.threads)
    simulated = Simulated(options.cvs)
    with tempfile.TemporaryDirectory(dir=options.folder) as space:
        folder = Path(space) / "index"
        peak, seconds = built(folder, simulated, options)
        print(json.dumps(measure(folder, simulated, peak, seconds, options)))


def built(folder: Path, simulated: Simulated, options: argparse.Namespace) -> tuple[int, float]:
    """Build the index in a separate process; return its peak memory in bytes, and seconds."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=build, args=(folder, simulated, options, sender))
    process.start()
    sender.close()  # so that recv raises EOFError if the builder dies
    found = receiver.recv()
    process.join()
    return found


def build(folder: Path, simulated: Simulated, options: argparse.Namespace, sender: object) -> None:
    use_threads(options.threads)
    before = peak_memory()
    started = time.perf_counter()
    simulated.index(folder, options.type)
    sender.send((peak_memory() - before, time.perf_counter() - started))  # type: ignore[attr-defined]


def measure(
    folder: Path, simulated: Simulated, peak: int, seconds: float, options: argparse.Namespace
) -> dict[str, float]:
    size = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
    segment = SIZE * simulated.chunks * simulated.dim * 4
    started = time.perf_counter()
    index = IndexFolder(folder, gpu=0 if options.gpu else None)
    opened = time.perf_counter() - started
    every = simulated.jds(max(options.jds, options.timed))
    jds = every[: options.jds]
    truth, exact_seconds = exact_best(index, list(jds), 100, options.threads)
    alone = [exact_best(index, [jd], 100, options.threads)[1] for jd in jds[:ALONE]]
    exact_alone = float(np.median(alone))
    say(f"exact: {len(jds) / exact_seconds:.2f} JDs/s in a batch, {1 / exact_alone:.2f} one by one")
    queries = [Entry(str(number), jd) for number, jd in enumerate(jds)]
    points: dict[str, dict[str, float]] = {}
    for depth in SETTINGS:
        search_many(index, queries[:2], 100, depth)  # warm-up: pages and threads
        started = time.perf_counter()
        found = search_many(index, queries, 100, depth, threads=options.threads)
        rate = len(jds) / (time.perf_counter() - started)
        name = f"{options.type}, {depth.effort} lists, {depth.hits} hits, {depth.depth} candidates"
        points[name] = {
            "recall_at_100": recall(found, truth, 100),
            "recall_at_10": recall(found, truth, 10),
            "qps_ratio_batch": rate * exact_seconds / len(jds),
            "jds_per_second_batch": rate,
        }
        say(f"{name}: {points[name]}")
        if points[name]["recall_at_100"] >= AIM:
            break
    compared = [Point(n, p["recall_at_100"], p["jds_per_second_batch"]) for n, p in points.items()]
    advice = recommend(compared, AIM)
    say(f"Pareto front: {'; '.join(p.name for p in pareto(compared))}. {advice}")
    best = points[advice.point.name]
    chosen = SETTINGS[list(points).index(advice.point.name)]
    times, one_by_one = timed(index, list(every[: options.timed]), 200, chosen)
    shared = min(len(jds), len(times))
    lexical = measure_words(index, simulated, options, chosen)
    index_bytes = index.nbytes()
    resident = index_bytes / index.starts[-1]
    del index
    started = time.perf_counter()
    IndexFolder(folder, verify=False).erase(["00000007"])
    erased = time.perf_counter() - started
    return {
        **best,
        **lexical,
        "vector_bytes_per_cv": simulated.chunks * simulated.dim * 4 + index_bytes / options.cvs,
        "recall_one_by_one": recall(one_by_one[:shared], truth[:shared], 100),
        "qps_ratio": exact_alone / float(times.mean()),
        "jds_per_second": 1 / float(times.mean()),
        "bytes_per_vector": resident,
        "p50_ms": float(np.quantile(times, 0.5) * 1e3),
        "p99_ms": float(np.quantile(times, 0.99) * 1e3),
        "build_peak_ratio": max(0, peak - segment) / index_bytes,
        "build_peak_over_disk": max(0, peak - segment) / size,
        "build_peak_gb": peak / 1e9,
        "size_gb": size / 1e9,
        "build_seconds": seconds,
        "open_seconds": opened,
        "erase_seconds": erased,
        "exact_jds_per_second": 1 / exact_alone,
        "exact_jds_per_second_batch": len(jds) / exact_seconds,
        "peak_gb": peak_memory() / 1e9,
    }


def measure_words(
    index: IndexFolder, simulated: Simulated, options: argparse.Namespace, depth: Depth
) -> dict[str, float]:
    """Measure search by words and vectors."""
    started = time.perf_counter()
    words = index.words
    seconds = time.perf_counter() - started
    queries = simulated.queries(max(options.jds, options.timed))
    lexical, overlap = [], []
    for query in queries[:COMPARED]:
        found = words.ask(query.words).best(depth.by_words(200))
        lexical.append(np.isin(exact_by_words(words, query, 100), found).mean())
        few, many = (search(index, query, 100, d, weights=Weights()) for d in (depth, WIDE))
        overlap.append(len({c.id for c in few} & {c.id for c in many}) / 100)
    torch.manual_seed(0)
    reranker = scorer_reranker(ChunkAttention(simulated.dim).eval(), "cv")
    times: dict[str, list[float]] = {}
    for name, how in (("hybrid", {}), ("reranked", {"reranker": reranker})):
        for query in queries[:2]:  # warm-up
            search(index, query, 200, depth, weights=Weights(), **how)
        for query in queries[: options.timed]:
            started = time.perf_counter()
            search(index, query, 200, depth, weights=Weights(), **how)
            times.setdefault(name, []).append(time.perf_counter() - started)
    files = [p for p in index.folder.rglob("words/*") if p.is_file()]
    return {
        "hybrid_p50_ms": float(np.quantile(times["hybrid"], 0.5) * 1e3),
        "hybrid_p99_ms": float(np.quantile(times["hybrid"], 0.99) * 1e3),
        "reranked_p99_ms": float(np.quantile(times["reranked"], 0.99) * 1e3),
        "lexical_recall_at_100": float(np.mean(lexical)),
        "hybrid_overlap_at_100": float(np.mean(overlap)),
        "lexical_bytes_per_cv": sum(p.stat().st_size for p in files) / options.cvs,
        "lexical_memory_per_cv": words.nbytes() / options.cvs,
        "words_seconds": seconds,
    }


def exact_by_words(words: WordIndex, query: Entry, k: int) -> np.ndarray:
    """The k documents with the highest scores by words, a segment of documents at a time."""
    asked = words.ask(query.words)
    blocks = np.split(np.arange(len(words)), range(SIZE, len(words), SIZE))
    return k_best(np.concatenate([asked.of(own) for own in blocks]), np.arange(len(words)), k)


def peak_memory() -> int:
    """Return the peak memory of this process in bytes (Linux)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def say(text: str) -> None:
    print(text, flush=True)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--cvs", type=int, default=1_000_000, help="default: %(default)s, which take 8 GB of disk")
    add("--jds", type=int, default=100, help="default: %(default)s")
    add("--timed", type=int, default=TIMED, help="sequential JDs; default: %(default)s")
    add("--type", default="ivf-pq", help="type of the index; default: %(default)s")
    add("--gpu", action="store_true", help="search on a GPU; the exact rival stays on the CPU")
    add("--threads", type=int, default=min(2, os.cpu_count() or 1), help="default: %(default)s")
    add("--folder", help="folder for the temporary index; default: the system's")
    return parser.parse_args()


if __name__ == "__main__":
    main()
