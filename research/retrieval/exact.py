"""Exact MaxSim of many queries with all documents: the truth that a first stage is compared with,
and its fair rival in speed. Ours; the formula is that of `late_interaction.maxsim`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from research.retrieval.order import k_best

COSINES = 200_000
"""Cosines in memory at a time (0.8 MB a thread), so that they stay in the cache: for example, of
256 documents of 4 chunks with 100 queries of 2."""
MOST = 4096
"""Most documents that are scored at a time."""


def maxsim_all(
    queries: Sequence[np.ndarray], rows: np.ndarray, starts: np.ndarray, threads: int = 1
) -> np.ndarray:
    """MaxSim both ways for each query and each document, float32 [query, document].

        s = (mean_i max_k c_ik + mean_k max_i c_ik) / 2

    queries: unit chunk vectors float32 [chunk, dim] of each, at least one chunk
    rows:    unit chunk vectors float32 [row, dim] of all documents, one after the other
    starts:  int64 [document + 1]: document d has the rows starts[d] to starts[d + 1], at least one
    threads: that share the documents; limit the threads of BLAS to 1 at the same time

    Each tile is one matrix product. On both sides the first chunks of all documents come first,
    then the second chunks and so on, and longer documents come before shorter ones, so that maxima
    and sums are taken of whole slices. Equals `late_interaction.maxsim` of each query, up to the
    rounding of sums. The order of chunks has no effect.
    """
    first = np.cumsum([0, *(len(q) for q in queries)])
    order, places, counts = _by_position(first)
    every = np.concatenate(queries)[places].T
    lengths = np.diff(first).astype(np.float32)[:, None]
    found = np.empty((len(queries), len(starts) - 1), np.float32)
    chunks = max(1, int(starts[-1]) // max(1, len(starts) - 1))
    size = max(1, min(MOST, COSINES // (chunks * every.shape[1])))

    def tile(at: int) -> None:
        own = starts[at : at + size + 1]
        own_order, own_places, own_counts = _by_position(own)
        first_row = own[0]
        cosines = (rows[first_row : own[-1]] @ every)[own_places - first_row]
        best_rows = _fold(np.maximum, cosines, own_counts)  # [document, query chunk]
        best_chunks = _fold(np.maximum, cosines.T, counts)  # [query, row]
        score = _fold(np.add, best_rows.T, counts) / lengths[order]  # [query, document]
        score += _fold(np.add, best_chunks.T, own_counts).T / np.diff(own)[own_order].astype("f4")
        found[np.ix_(order, at + own_order)] = score / 2

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(tile, range(0, len(starts) - 1, size)))
    return found


def exact_maxsim(
    queries: Sequence[np.ndarray],
    blocks: Iterable[tuple[np.ndarray, np.ndarray]],
    k: int,
    threads: int = 1,
) -> tuple[np.ndarray, np.ndarray]:
    """The k best documents for each query, block by block; equal scores are in order of number.

    blocks: (rows, starts) as `maxsim_all` takes them; numbers continue from block to block
    Returns scores float32 [query, k], descending, and documents int64 [query, k]; k is at most the
    number of documents. Holds the vectors of one block and the k best in memory.
    """
    scores = np.empty((len(queries), 0), np.float32)
    documents = np.empty((len(queries), 0), np.int64)
    seen = 0
    for rows, starts in blocks:
        new = maxsim_all(queries, rows, starts, threads)
        numbers = np.broadcast_to(np.arange(seen, seen + new.shape[1]), new.shape)
        scores, documents = np.hstack([scores, new]), np.hstack([documents, numbers])
        best = np.stack([k_best(s, d, k) for s, d in zip(scores, documents, strict=True)])
        scores = np.take_along_axis(scores, best, 1)
        documents = np.take_along_axis(documents, best, 1)
        seen += new.shape[1]
    return scores, documents


def _by_position(starts: np.ndarray) -> tuple[np.ndarray, np.ndarray, list[int]]:
    """Documents by their number of chunks, most first; the places of all first chunks in that
    order, then of all second chunks, and so on; and how many documents have a first chunk, how many
    a second chunk, and so on."""
    sizes = np.diff(starts)
    order = np.argsort(-sizes, kind="stable")
    counts = [int((sizes > at).sum()) for at in range(sizes.max())]
    places = [starts[order[:count]] + at for at, count in enumerate(counts)]
    return order, np.concatenate(places), counts


def _fold(how: np.ufunc, values: np.ndarray, counts: list[int]) -> np.ndarray:
    """[chunk by position, ...] → [document, ...]: the maximum or sum over the chunks of each."""
    found = values[: counts[0]].copy(order="K")
    at = counts[0]
    for count in counts[1:]:
        how(found[:count], values[at : at + count], out=found[:count])
        at += count
    return found
