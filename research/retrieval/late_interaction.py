"""MaxSim between the chunks of a query and of documents: estimated from hits, and exact. Ours,
after the papers named below."""

from __future__ import annotations

import numpy as np

from research.retrieval.order import k_best

PAIRS = 2
"""Chunk pairs that are kept of a candidate."""

ONE_THREAD = 200_000
"""Multiplications in a matrix product that OpenBLAS leaves to the calling thread (it splits those
of more than 262,144). After a larger product its other threads spin for some tens of milliseconds
and slow FAISS's next search, which then takes twice as long."""


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


def cosines_of(vectors: np.ndarray, query: np.ndarray) -> np.ndarray:
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


def best_pairs(
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
