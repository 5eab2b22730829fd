"""Query → candidates → ranking: chunk hits from FAISS and documents with common words, exact scores
by words and vectors for all of them, and a trained scorer on the best. Ours, after the papers named
in `late_interaction`.

The query is a JD and the documents are CVs, or the reverse.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from jdcv_core.errors import InputError
from research.retrieval import copies
from research.retrieval.fused_scores import VECTORS, Weights, fused
from research.retrieval.index_folder import IndexFolder
from research.retrieval.late_interaction import approximate, best_pairs, cosines_of, maxsim
from research.retrieval.order import distinct_values, k_best
from research.retrieval.reranking import Reranker
from research.retrieval.segment import Entry
from research.retrieval.vector_index import search_all, unit_rows
from research.retrieval.word_counts import Counts, count_words
from research.retrieval.word_search import WordScores

MEANS_EFFORT = 512
"""Lists of means that are probed: a quarter at a million documents, all of them at a few thousand.
Means are few and their codes are fast to compare; a document in a list that is not probed loses its
share of the estimate."""


@dataclass(frozen=True)
class Candidate:
    """A document that was found.

    document: its number in the index; id: its name
    score:    of the reranker. Without one: of `fused_scores.fused`, or of words or vectors where
              the other one has no weight
    words:    cosine of TF-IDF, in [0, 1]; None if words have no weight
    maxsim:   in [-1, 1]; None if vectors have no weight
    pairs:    (query chunk, document chunk, cosine), the largest cosine first, of distinct document
              chunks; at most `late_interaction.PAIRS`, none if vectors have no weight
    copies:   ids of near-duplicates with a lower score that were left out for this document
    """

    document: int
    id: str
    score: float
    words: float | None
    maxsim: float | None
    pairs: tuple[tuple[int, int, float], ...]
    copies: tuple[str, ...] = ()


@dataclass(frozen=True)
class Depth:
    """How many documents a search compares: more is slower and finds more.

    hits:   chunk rows that each query chunk takes from the index, and documents that the mean of
            the query takes
    depth:  candidates by vectors, which are scored exactly
    words:  candidates by words, likewise; see `by_words`
    effort: nprobe or efSearch, see `FaissIndex.search`; None: the default of the index for chunk
            vectors, and MEANS_EFFORT for means

    Raises InputError for a number below 1.
    """

    hits: int = 4000
    depth: int = 2000
    effort: int | None = None
    words: int = 800

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if value is not None and value < 1:
                raise InputError(f"{name}={value}", "it must be at least 1", "give 1 or more")

    def by_words(self, k: int) -> int:
        """Candidates by words where k documents are wanted: `words`, but 16 for each of the k,
        and at most `depth`. Those by words cost more than those by vectors and are nearer to what
        is found: of a million CVs, 800 have .9999 of the 100 best by TF-IDF."""
        return min(max(self.words, 16 * k), self.depth)


def search(
    index: IndexFolder,
    query: Entry,
    k: int = 10,
    depth: Depth | None = None,
    allowed: Sequence[int] | None = None,
    reranker: Reranker | None = None,
    rerank: int = 200,
    weights: Weights = VECTORS,
) -> list[Candidate]:
    """The k best documents for one query, best first; see `search_many`."""
    return search_many(index, [query], k, depth, allowed, reranker, rerank, weights=weights)[0]


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
    weights: Weights = VECTORS,
) -> list[list[Candidate]]:
    """The k best documents for each query, best first; equal scores are in the order of ids.

    queries:  with vectors of the encoder of the index, unless vectors have no weight, and with
              texts, unless words have none
    allowed:  numbers of the documents that may be found; None: all
    reranker: scores the `rerank` best; the others are left out. None: words and vectors decide
    threads:  that share the exact part; FAISS has other threads
    distinct: of near-duplicates among the candidates (see `copies`) only the best is kept, and
              names the others; a reranker scores distinct documents only
    weights:  of words and vectors

    If hits and depth are at least the size of the index and the index is flat, the order is exact.
    """
    depth = depth or Depth()
    rows = None if allowed is None else np.unique(np.asarray(allowed, dtype=np.int64))
    units = [unit_rows(q.vectors) if weights.vectors else None for q in queries]
    near = _candidates(index, [u for u in units if u is not None], depth, rows)

    def one(at: int) -> list[Candidate]:
        words = index.words.ask(_words_of(queries[at])) if weights.words else None
        documents = near(at)
        if words is not None:
            own = words.best(depth.by_words(max(k, rerank if reranker else 0)), rows)
            documents = distinct_values(np.concatenate([documents, own]))
        scored = _scored(index, documents, words, units[at], weights)
        return _ranked(index, queries[at], scored, k, reranker, rerank, distinct)

    if threads == 1:
        return [one(at) for at in range(len(units))]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(one, range(len(units))))


def _words_of(query: Entry) -> Counts:
    return count_words(query.text) if query.words is None else query.words


def _candidates(
    index: IndexFolder, units: Sequence[np.ndarray], depth: Depth, rows: np.ndarray | None
) -> Callable[[int], np.ndarray]:
    """Ask FAISS about all queries; returns a function from the place of a query to its candidates,
    int64 [document], ascending.

    units: the vectors of each query as unit rows
    rows:  the documents that may be found
    """
    if not units:
        return lambda at: np.empty(0, np.int64)
    of = np.repeat(np.arange(len(units)), [len(u) for u in units])
    chunk_rows = None if rows is None else _chunk_rows(index.starts, rows)
    chunks = search_all(index.chunks, np.concatenate(units), depth.hits, depth.effort, chunk_rows)
    means = np.stack([u.mean(0) for u in units])
    near = search_all(index.means, means, depth.hits, depth.effort or MEANS_EFFORT, rows)

    def one(at: int) -> np.ndarray:
        own = of == at
        hits = chunks[0][own], chunks[1][own], near[0][at], near[1][at]
        return approximate(*hits, index.document_of, depth.depth)

    return one


@dataclass(frozen=True)
class _Scored:
    """The exact scores of some documents for one query.

    documents: int64 [document], ascending
    scores:    float [document]; words and maxsim: likewise, or None where they have no weight
    cosines:   float32 [row, query chunk] of all their chunks, with maxsim
    starts:    int64 [document + 1], where the rows of each document begin, with maxsim
    vectors:   float32 [row, dim], with maxsim
    """

    documents: np.ndarray
    scores: np.ndarray
    words: np.ndarray | None = None
    maxsim: np.ndarray | None = None
    cosines: np.ndarray | None = None
    starts: np.ndarray | None = None
    vectors: np.ndarray | None = None

    def pairs(self, order: np.ndarray) -> list[tuple[tuple[int, int, float], ...]]:
        """The best chunk pairs of the documents at some places."""
        if self.cosines is None or self.starts is None:
            return [()] * len(order)
        return best_pairs(self.cosines, self.starts, order)


def _scored(
    index: IndexFolder,
    documents: np.ndarray,
    words: WordScores | None,
    units: np.ndarray | None,
    weights: Weights,
) -> _Scored:
    """Score documents for one query. units: its vectors as unit rows."""
    by_words = None if words is None else words.of(documents)
    if units is None:
        assert by_words is not None
        return _Scored(documents, by_words, by_words)
    vectors, starts = index.rows(documents)
    cosines = cosines_of(vectors, units)
    exact = maxsim(cosines, starts)
    if words is None or by_words is None:
        return _Scored(documents, exact, None, exact, cosines, starts, vectors)
    sample, sample_vectors, sample_starts = index.reference
    reference = words.of(sample), maxsim(cosines_of(sample_vectors, units), sample_starts)
    scores = fused(by_words, exact, weights, reference)
    return _Scored(documents, scores, by_words, exact, cosines, starts, vectors)


def _ranked(
    index: IndexFolder,
    query: Entry,
    scored: _Scored,
    k: int,
    reranker: Reranker | None,
    rerank: int,
    distinct: bool,
) -> list[Candidate]:
    """The k best of some documents."""
    documents, scores = scored.documents, scored.scores
    ids = _Names(index.ids, documents)
    order, left_out = _best(index, documents, scores, ids, rerank if reranker else k, distinct)
    if reranker is not None:
        again = np.full(len(scores), -np.inf)
        again[order] = reranker(query, _entries(index, scored, order, reranker))
        scores, order = again, k_best(again, ids, min(k, len(order)))

    def value(of: np.ndarray | None, at: int) -> float | None:
        return None if of is None else float(of[at])

    return [
        Candidate(
            int(documents[at]),
            ids[at],
            float(scores[at]),
            value(scored.words, at),
            value(scored.maxsim, at),
            own_pairs,
            tuple(ids[copy] for copy in left_out.get(at, ())),
        )
        for at, own_pairs in zip(order.tolist(), scored.pairs(order), strict=True)
    ]


class _Names(Sequence[str]):
    """The ids of some documents; each is looked up where it is needed."""

    def __init__(self, ids: Sequence[str], documents: np.ndarray) -> None:
        self._ids, self._documents = ids, documents

    def __len__(self) -> int:
        return len(self._documents)

    def __getitem__(self, place: Any) -> Any:
        return self._ids[self._documents[place]]


def _entries(
    index: IndexFolder, scored: _Scored, order: np.ndarray, reranker: Reranker
) -> list[Entry]:
    """The documents at some places as a reranker reads them."""
    documents, places = scored.documents[order], order
    vectors, starts = scored.vectors, scored.starts
    if vectors is None or starts is None:
        vectors, starts = index.rows(documents)
        places = np.arange(len(documents))
    found = []
    for number, first, end in zip(
        documents.tolist(), starts[places].tolist(), starts[places + 1].tolist(), strict=True
    ):
        own = vectors[first:end]
        found.append(Entry(index.ids[number], own, months=index.months(number)))
    if getattr(reranker, "reads_text", False):
        texts = [index.entry(number).text for number in documents.tolist()]
        found = [replace(e, text=text) for e, text in zip(found, texts, strict=True)]
    return found


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


def _chunk_rows(starts: np.ndarray, documents: np.ndarray) -> np.ndarray:
    return np.concatenate(
        [np.empty(0, np.int64), *(np.arange(starts[d], starts[d + 1]) for d in documents)]
    )
