"""Query → candidates → ranking: chunk hits from FAISS, exact MaxSim over all chunks of the
candidates, and a trained scorer on the best of them. Ours, after the papers named below.

The query is a JD and the documents are CVs, or the reverse.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from jdcv_core.errors import InputError
from jdcv_core.types import Side
from research.retrieval import copies
from research.retrieval.index_folder import IndexFolder
from research.retrieval.order import k_best
from research.retrieval.segment import Entry
from research.retrieval.vector_index import search_all, unit_rows

PAIRS = 2
"""Chunk pairs that are kept of a candidate."""

MEANS_EFFORT = 512
"""Lists of means that are probed: a quarter at a million documents, all of them at a few thousand.
Means are few and their codes are fast to compare; a document in a list that is not probed loses its
share of the estimate."""

ONE_THREAD = 200_000
"""Multiplications in a matrix product that OpenBLAS leaves to the calling thread (it splits those
of more than 262,144). After a larger product its other threads spin for some tens of milliseconds
and slow FAISS's next search, which then takes twice as long."""

Reranker = Callable[[Entry, Sequence[Entry]], np.ndarray]
"""(query, documents) → the score of each document, float [document]. Documents have no texts."""


@dataclass(frozen=True)
class Candidate:
    """A document that was found.

    document: its number in the index; id: its name
    score:    of the reranker, or MaxSim where there is no reranker
    maxsim:   in [-1, 1]
    pairs:    (query chunk, document chunk, cosine), the largest cosine first, of distinct document
              chunks; at most PAIRS
    copies:   ids of near-duplicates with a lower MaxSim that were left out for this document
    """

    document: int
    id: str
    score: float
    maxsim: float
    pairs: tuple[tuple[int, int, float], ...]
    copies: tuple[str, ...] = ()


@dataclass(frozen=True)
class Depth:
    """How many documents a search compares: more is slower and finds more.

    hits:   chunk rows that each query chunk takes from the index, and documents that the mean of
            the query takes
    depth:  candidates that are scored exactly, by MaxSim
    effort: nprobe or efSearch, see `FaissIndex.search`; None: the default of the index for chunk
            vectors, and MEANS_EFFORT for means

    Raises InputError for a number below 1.
    """

    hits: int = 4000
    depth: int = 2000
    effort: int | None = None

    def __post_init__(self) -> None:
        for name, value in (("hits", self.hits), ("depth", self.depth), ("effort", self.effort)):
            if value is not None and value < 1:
                raise InputError(f"{name}={value}", "it must be at least 1", "give 1 or more")


def search(
    index: IndexFolder,
    query: Entry,
    k: int = 10,
    depth: Depth | None = None,
    allowed: Sequence[int] | None = None,
    reranker: Reranker | None = None,
    rerank: int = 200,
) -> list[Candidate]:
    """The k best documents for one query, best first; see `search_many`."""
    return search_many(index, [query], k, depth, allowed, reranker, rerank)[0]


def search_many(
    index: IndexFolder,
    queries: Sequence[Entry],
    k: int = 10,
    depth: Depth | None = None,
    allowed: Sequence[int] | None = None,
    reranker: Reranker | None = None,
    rerank: int = 200,
    threads: int = 1,
    distinct: bool = False,
) -> list[list[Candidate]]:
    """The k best documents for each query, best first; equal scores are in the order of ids.

    queries:  with vectors of the encoder of the index
    allowed:  numbers of the documents that may be found; None: all
    reranker: scores the `rerank` best of MaxSim; the others are left out. None: MaxSim decides
    threads:  that share the exact part; FAISS has other threads
    distinct: of near-duplicates among the candidates (see `copies`) only the best by MaxSim is
              kept, and names the others; a reranker scores distinct documents only

    If hits and depth are at least the size of the index and the index is flat, the order is exact.
    """
    depth = depth or Depth()
    units = [unit_rows(q.vectors) for q in queries]
    of = np.repeat(np.arange(len(units)), [len(u) for u in units])
    rows = None if allowed is None else np.unique(np.asarray(allowed, dtype=np.int64))
    chunk_rows = None if rows is None else _chunk_rows(index.starts, rows)
    every = np.concatenate(units) if units else np.empty((0, 0), np.float32)
    chunk_hits = search_all(index.chunks, every, depth.hits, depth.effort, chunk_rows)
    means = np.stack([u.mean(0) for u in units]) if units else every
    mean_hits = search_all(index.means, means, depth.hits, depth.effort or MEANS_EFFORT, rows)

    def one(at: int) -> list[Candidate]:
        mine = of == at
        found = approximate(
            chunk_hits[0][mine],
            chunk_hits[1][mine],
            mean_hits[0][at],
            mean_hits[1][at],
            index.document_of,
            depth.depth,
        )
        return _ranked(index, queries[at], units[at], found, k, reranker, rerank, distinct)

    if threads == 1:
        return [one(at) for at in range(len(units))]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(one, range(len(units))))


def scorer_reranker(
    scorer: Any,
    side: Side,
    words_of: Callable[[Sequence[Entry], Side], list[np.ndarray]] | None = None,
) -> Reranker:
    """A trained scorer (an nn.Module, see `jdcv_core.scoring.Scorer`) as a reranker.

    side:     of the documents. The index must hold the whitened vectors that the scorer was trained
              on
    words_of: entries and their side → the words of each one's chunks, [chunk, term, 2], for a
              scorer that `reads_words`; then the entries that are reranked have their texts
    """
    from jdcv_core.scoring import score_vectors  # torch: a search without a reranker needs none

    def scores(query: Entry, documents: Sequence[Entry]) -> np.ndarray:
        named = {str(number): document for number, document in enumerate(documents)}
        pairs = [(name, "query") if side == "cv" else ("query", name) for name in named]
        named["query"] = query
        vectors = {name: entry.vectors for name, entry in named.items()}
        months = {n: entry.months for n, entry in named.items() if entry.months is not None}
        words = None
        if words_of is not None:
            words = dict(zip(named, words_of(documents, side), strict=False))
            (words["query"],) = words_of([query], "jd" if side == "cv" else "cv")
        return score_vectors(scorer, pairs, vectors, months, words)

    scores.reads_text = words_of is not None  # type: ignore[attr-defined]
    return scores


def approximate(
    scores: np.ndarray,
    rows: np.ndarray,
    mean_scores: np.ndarray,
    mean_documents: np.ndarray,
    chunk_document: np.ndarray,
    depth: int,
) -> np.ndarray:
    """The `depth` documents with the highest estimates of MaxSim both ways, int64, ascending.

    scores, rows: [query chunk, hit] of the chunk index, descending, -1 where there is none
    mean_scores, mean_documents: [hit] of the query's mean vector among the documents' mean vectors
    chunk_document: int [row], the document of each chunk row

        estimate = mean_i (best hit of query chunk i in the document - lowest hit of i)
                 + (mean hit - lowest mean hit)

    A pair that was not found counts as the lowest hit (as in XTR, Lee et al. 2023). The first term
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

    cosines: [row, query chunk] of all chunk rows of the documents, one after the other
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
    index: IndexFolder,
    query: Entry,
    units: np.ndarray,
    documents: np.ndarray,
    k: int,
    reranker: Reranker | None,
    rerank: int,
    distinct: bool,
) -> list[Candidate]:
    """The k best of some documents. units: the query's vectors as unit rows."""
    vectors, starts = index.rows(documents)
    cosines = _cosines(vectors, units)
    exact = maxsim(cosines, starts)
    ids = [index.ids[d] for d in documents.tolist()]
    order, left_out = _best(index, documents, exact, ids, rerank if reranker else k, distinct)
    scores = exact
    if reranker is not None:
        own = [vectors[starts[at] : starts[at + 1]] for at in order]
        months = [index.months(d) for d in documents[order].tolist()]
        names = [ids[at] for at in order]
        found = [Entry(i, v, months=m) for i, v, m in zip(names, own, months, strict=True)]
        if getattr(reranker, "reads_text", False):
            numbers = documents[order].tolist()
            texts = [index.entry(number).text for number in numbers]
            found = [replace(e, text=text) for e, text in zip(found, texts, strict=True)]
        scores = np.full(len(exact), -np.inf)
        scores[order] = reranker(query, found)
        order = k_best(scores, ids, min(k, len(order)))
    pairs = _best_pairs(cosines, starts, order)
    return [
        Candidate(
            int(documents[at]),
            ids[at],
            float(scores[at]),
            float(exact[at]),
            own_pairs,
            tuple(ids[copy] for copy in left_out.get(at, ())),
        )
        for at, own_pairs in zip(order.tolist(), pairs, strict=True)
    ]


def _best(
    index: IndexFolder,
    documents: np.ndarray,
    scores: np.ndarray,
    ids: Sequence[str],
    k: int,
    distinct: bool,
) -> tuple[np.ndarray, dict[int, list[int]]]:
    """The places of the k best documents, and for each place those of the copies left out."""
    if not distinct:
        return k_best(scores, ids, k), {}
    order = k_best(scores, ids, len(ids))
    kept = copies.distinct(index.signatures(documents[order]), k)
    found = {int(order[first]): order[others].tolist() for first, *others in kept}
    return np.array(list(found), dtype=np.int64), found


def _cosines(vectors: np.ndarray, query: np.ndarray) -> np.ndarray:
    """[row, dim] and unit rows [query chunk, dim] → [row, query chunk], on this thread alone."""
    found = np.empty((len(vectors), len(query)), np.float32)
    if len(query) == 1:  # OpenBLAS splits a product with a vector sooner
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
    """For some documents the best PAIRS chunks, each with its best query chunk.

    cosines: [row, query chunk]; starts: int64 [document + 1]; documents: places in `starts`, int64
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
