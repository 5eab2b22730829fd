"""JD → candidates → ranking: chunk hits from FAISS, exact MaxSim over all chunks of the candidates,
and a trained scorer on the best of them. Ours, after the papers named below.

The same for a CV among JDs: what is asked with is called the query here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from jdcv_core.types import Side
from research.retrieval.index_folder import Corpus, unit
from research.retrieval.order import k_best
from research.retrieval.vector_index import search_all

PAIRS = 2
"""Chunk pairs that are shown for a match."""

MEANS_EFFORT = 512
"""Lists of means that are probed: a quarter at a million documents, all of them at a few thousand.
They are few and their codes fast; a document in a list that is not probed loses its share of the
estimate."""

ONE_THREAD = 200_000
"""Multiplications in a matrix product that OpenBLAS surely leaves to the calling thread (it splits
those of more than 262,144). After a larger one its other threads wait at work for some tens of
milliseconds, in the way of FAISS's next search, which then takes twice as long."""

Reranker = Callable[[np.ndarray, Sequence[np.ndarray]], np.ndarray]
"""(query [chunk, dim], documents each [chunk, dim]) → the score of each document."""


@dataclass(frozen=True)
class Match:
    """A document that was found.

    document: its number in the corpus; id: its name
    score:    of the reranker, else MaxSim
    maxsim:   in [-1, 1]
    pairs:    (query chunk, document chunk, cosine), the largest first, of distinct document chunks
    """

    document: int
    id: str
    score: float
    maxsim: float
    pairs: tuple[tuple[int, int, float], ...]


@dataclass(frozen=True)
class Depth:
    """How far a search looks.

    hits:   chunk rows that each query chunk takes from the index, and documents that the mean takes
    depth:  candidates that are scored exactly
    effort: nprobe or efSearch, see `FaissIndex.search`; None: the index's own for chunk vectors,
            and MEANS_EFFORT for means
    rerank: of those, the best that a reranker scores again
    """

    hits: int = 4000
    depth: int = 2000
    effort: int | None = None
    rerank: int = 200


def search(
    corpus: Corpus,
    query: np.ndarray,
    k: int = 10,
    depth: Depth | None = None,
    allowed: Sequence[int] | None = None,
    reranker: Reranker | None = None,
) -> list[Match]:
    """The k best documents for one query, best first; see `search_many`."""
    return search_many(corpus, [query], k, depth, allowed, reranker)[0]


def search_many(
    corpus: Corpus,
    queries: Sequence[np.ndarray],
    k: int = 10,
    depth: Depth | None = None,
    allowed: Sequence[int] | None = None,
    reranker: Reranker | None = None,
    threads: int = 1,
) -> list[list[Match]]:
    """The k best documents for each query, best first; equal scores by id.

    queries:  chunk vectors float32 [chunk, dim] of each, from the corpus's encoder
    allowed:  numbers of the documents that may be found; None: all
    reranker: scores the best `depth.rerank` again, which then stand first; None: MaxSim decides
    threads:  that share the exact part; FAISS has its own

    Where hits and depth are no less than the corpus and the index is flat, this is the exact order.
    """
    depth = depth or Depth()
    units = [unit(q) for q in queries]
    of = np.repeat(np.arange(len(units)), [len(u) for u in units])
    rows = None if allowed is None else np.unique(np.asarray(allowed, dtype=np.int64))
    chunk_rows = None if rows is None else _chunk_rows(corpus.starts, rows)
    every = np.concatenate(units) if units else np.empty((0, 0), np.float32)
    chunk_hits = search_all(corpus.chunks, every, depth.hits, depth.effort, chunk_rows)
    means = np.stack([u.mean(0) for u in units]) if units else every
    mean_hits = search_all(corpus.means, means, depth.hits, depth.effort or MEANS_EFFORT, rows)

    def one(at: int) -> list[Match]:
        mine = of == at
        found = approximate(
            chunk_hits[0][mine],
            chunk_hits[1][mine],
            mean_hits[0][at],
            mean_hits[1][at],
            corpus.document_of,
            depth.depth,
        )
        return _ranked(corpus, units[at], queries[at], found, k, depth.rerank, reranker)

    if threads == 1:
        return [one(at) for at in range(len(units))]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(one, range(len(units))))


def scorer_reranker(scorer: Any, side: Side) -> Reranker:
    """A trained scorer (an nn.Module, see `jdcv_core.scoring.Scorer`) as a reranker.

    side: of the documents. The corpus must hold the whitened vectors that the scorer was trained on
    """
    from jdcv_core.scoring import score_vectors  # torch: searching alone needs none

    def scores(query: np.ndarray, documents: Sequence[np.ndarray]) -> np.ndarray:
        names = [str(number) for number in range(len(documents))]
        matrices = {"query": query, **dict(zip(names, documents, strict=True))}
        pairs = [(name, "query") if side == "cv" else ("query", name) for name in names]
        return score_vectors(scorer, pairs, matrices)

    return scores


def approximate(
    scores: np.ndarray,
    rows: np.ndarray,
    mean_scores: np.ndarray,
    mean_documents: np.ndarray,
    chunk_document: np.ndarray,
    depth: int,
) -> np.ndarray:
    """The `depth` documents of the highest estimate of MaxSim both ways, int64, ascending.

    scores, rows: [query chunk, hit] of the chunk index, descending, -1 where there is none
    mean_scores, mean_documents: [hit] of the query's mean vector among the documents' mean vectors
    chunk_document: int [row], the document of each chunk row

        estimate = mean_i (best hit of query chunk i in the document - lowest hit of i)
                 + (mean hit - lowest mean hit)

    What was not found counts as just below what was (as in XTR, Lee et al. 2023). The first term
    stands for the query's side of MaxSim. The second is the mean over all chunk pairs: it stands
    for the document's side, whose maximum over few query chunks is near their mean; that is ours.
    """
    real = mean_documents >= 0
    found = [mean_documents[real].astype(np.int64)]
    gains = [mean_scores[real] - mean_scores[real].min(initial=np.inf)]
    for of_chunk, own in zip(scores, rows, strict=True):
        real = own >= 0
        # Hits are in the order of their scores, so the first of a document is its best.
        documents, first = np.unique(chunk_document[own[real]], return_index=True)
        found.append(documents.astype(np.int64))
        gain = of_chunk[real] - of_chunk[real].min(initial=np.inf)
        gains.append(gain[first] / np.float32(len(scores)))
    every = np.concatenate(found)
    order = np.argsort(every, kind="stable")
    known, starts = np.unique(every[order], return_index=True)
    if len(known) <= depth:
        return known
    estimate = np.add.reduceat(np.concatenate(gains)[order], starts)
    return np.sort(known[k_best(estimate, known, depth)])


def maxsim(cosines: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Late interaction both ways, float32 [document].

        s = (mean_i max_k c_ik + mean_k max_i c_ik) / 2

    cosines: [row, query chunk] of all chunk rows of the documents, one behind the other
    starts:  int64 [document + 1], where each document's rows begin; none is empty
    Equals `research.aggregators.pairwise.MaxSim` untrained, before its scale and bias.
    Source: ColBERT, Khattab & Zaharia 2020, equation 3; both ways and means are ours.
    """
    if len(starts) == 1:
        return np.empty(0, np.float32)
    first = starts[:-1]
    from_query = np.maximum.reduceat(cosines, first, axis=0).mean(1)
    from_document = np.add.reduceat(cosines.max(1), first) / np.diff(starts)
    return ((from_query + from_document) / 2).astype(np.float32)


def _ranked(
    corpus: Corpus,
    query: np.ndarray,
    raw: np.ndarray,
    documents: np.ndarray,
    k: int,
    rerank: int,
    reranker: Reranker | None,
) -> list[Match]:
    vectors, starts = corpus.rows(documents)
    cosines = _cosines(vectors, query)
    exact = maxsim(cosines, starts)
    ids = [corpus.ids[d] for d in documents.tolist()]
    order = k_best(exact, ids, k if reranker is None else rerank)
    scores = exact
    if reranker is not None:
        pieces = [vectors[starts[at] : starts[at + 1]] for at in order]
        scores = np.full(len(exact), -np.inf)
        scores[order] = reranker(raw, pieces)
        order = k_best(scores, ids, min(k, len(order)))
    pairs = _best_pairs(cosines, starts, order)
    return [
        Match(int(documents[at]), ids[at], float(scores[at]), float(exact[at]), of_match)
        for at, of_match in zip(order.tolist(), pairs, strict=True)
    ]


def _cosines(vectors: np.ndarray, query: np.ndarray) -> np.ndarray:
    """[row, dim] and unit rows [query chunk, dim] → [row, query chunk], on this thread alone."""
    found = np.empty((len(vectors), len(query)), np.float32)
    if len(query) == 1:  # a product of OpenBLAS's that is split sooner
        found[:, 0] = np.einsum("rd,d->r", vectors, query[0])
    else:
        step = max(1, ONE_THREAD // query.size)
        for at in range(0, len(vectors), step):
            np.matmul(vectors[at : at + step], query.T, out=found[at : at + step])
    found /= np.sqrt(np.einsum("rd,rd->r", vectors, vectors))[:, None]
    return found


def _best_pairs(
    cosines: np.ndarray, starts: np.ndarray, documents: np.ndarray
) -> list[tuple[tuple[int, int, float], ...]]:
    """The best query chunk of the best PAIRS chunks of some documents.

    cosines: [row, query chunk]; starts: int64 [document + 1]; documents: int64, of which
    """
    best = cosines.argmax(1)
    values = cosines[np.arange(len(cosines)), best].tolist()
    found = []
    for first, end in zip(starts[documents].tolist(), starts[documents + 1].tolist(), strict=True):
        rows = sorted(range(first, end), key=values.__getitem__, reverse=True)[:PAIRS]
        found.append(tuple((int(best[row]), row - first, values[row]) for row in rows))
    return found


def _chunk_rows(starts: np.ndarray, documents: np.ndarray) -> np.ndarray:
    return np.concatenate(
        [np.empty(0, np.int64), *(np.arange(starts[d], starts[d + 1]) for d in documents)]
    )
