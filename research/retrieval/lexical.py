"""Retrievers that compare words: BM25 and TF-IDF."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import TfidfVectorizer

from jdcv_core.errors import InputError
from jdcv_core.floors import bm25_weights
from research.retrieval.order import k_best
from research.retrieval.words import words

CELLS = 1 << 22
"""Scores [query, document] in memory at a time: 32 MiB, and 48 MiB while they are summed."""


def bm25_search(
    queries: Mapping[str, str], corpus: Mapping[str, str], k: int, cells: int = CELLS
) -> dict[str, dict[str, float]]:
    """The k best documents of each query by Okapi BM25 over `words`.

    queries, corpus: id → text. The number of documents, document frequencies and mean length are
                     those of the corpus; a word that is n times in the query counts n times
    k:               most documents for a query, ≥ 1, best first by the tie rule (`ranking`).
                     Documents that share no word with the query have the score 0 and are left out
    cells:           scores [query, document] in memory at a time; no result depends on it

    Returns query id → document id → score > 0; a query that finds nothing has an empty ranking.
    Raises ValueError for k or cells below 1, InputError for a corpus without a word.
    Source: Robertson et al. 1994, with the idf of `jdcv_core.floors.bm25`.
    """
    ids, texts = _columns(corpus)
    asked, weights = bm25_weights(texts, list(queries.values()), texts, analyzer=words)
    return _search(list(queries), ids, asked, weights, k, cells)


def tfidf_search(
    queries: Mapping[str, str], corpus: Mapping[str, str], k: int, cells: int = CELLS
) -> dict[str, dict[str, float]]:
    """The k best documents of each query by the cosine of TF-IDF vectors over `words`.

    The weight of a word that occurs f times in a text is (1 + ln f) (1 + ln((1 + N) / (1 + df))),
    as in `jdcv_core.floors.tfidf_cosine`; N and df are those of the corpus. Arguments, result and
    errors are those of `bm25_search`; scores are at most 1, up to rounding.
    """
    ids, texts = _columns(corpus)
    vectorizer = TfidfVectorizer(sublinear_tf=True, analyzer=words)
    vectors = csr_matrix(vectorizer.fit_transform(texts))
    # The normalisation refuses an empty matrix.
    asked = csr_matrix(vectorizer.transform(list(queries.values())) if queries else vectors[:0])
    return _search(list(queries), ids, asked, vectors, k, cells)


def _columns(corpus: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """Ids and texts in order of id, so that of equal scores the lower column comes first."""
    ids = sorted(corpus)
    texts = [corpus[i] for i in ids]
    if not any(words(text) for text in texts):
        raise InputError("the corpus", "no document has a word", "give documents with text")
    return ids, texts


def _search(
    queries: Sequence[str],
    ids: Sequence[str],
    asked: csr_matrix,
    weights: csr_matrix,
    k: int,
    cells: int,
) -> dict[str, dict[str, float]]:
    """The k best of asked @ weights.T, without scores of 0.

    asked [query word], weights [document word], documents in order of id. The product is computed
    in blocks of at most `cells` scores. A score is one sum over the query's words in their order,
    so the blocks change no bit of it.
    """
    if k < 1 or cells < 1:
        raise ValueError(f"k and cells must be at least 1, got {k} and {cells}")
    wide = min(len(ids), cells)
    best = [(np.zeros(0), np.zeros(0, int))] * len(queries)
    for columns in _blocks(len(ids), wide):
        turned = weights[columns].T.tocsr()
        for rows in _blocks(len(queries), max(1, cells // wide)):
            block = (asked[rows] @ turned).toarray()
            for at, scores in enumerate(block, start=rows.start):
                there = np.flatnonzero(scores)
                new = (scores[there], there + columns.start)
                values, places = (np.concatenate(pair) for pair in zip(best[at], new, strict=True))
                first = k_best(values, places, k)
                best[at] = values[first], places[first]
    found = {}
    for query, (scores, places) in zip(queries, best, strict=True):
        own = zip(places.tolist(), scores.tolist(), strict=True)
        found[query] = {ids[place]: score for place, score in own}
    return found


def _blocks(size: int, step: int) -> Iterator[slice]:
    return (slice(start, min(start + step, size)) for start in range(0, size, step))
