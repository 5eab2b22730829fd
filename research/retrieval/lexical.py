"""Retrievers that compare words, and the fusion of runs by their ranks."""

import math
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import TfidfVectorizer

from jdcv_core.errors import InputError
from jdcv_core.evaluation.ranking import ranking
from jdcv_core.floors import bm25_weights
from jdcv_core.types import Run
from research.retrieval.order import k_best

CELLS = 1 << 22
"""Scores [query, document] that are in memory at once: 32 MiB, and 48 while they are summed."""

# Chinese characters and Japanese kana, which are written without spaces between words.
ALONE = (
    "[々〇\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)
WORD = re.compile(rf"(?=\w){ALONE}|(?:(?!{ALONE})\w){{2,}}")
CEDILLA = str.maketrans("şţ", "șț")


def words(text: str) -> list[str]:
    """The words of a text in any language whose writing has letters.

    Runs of at least two letters, digits or underscores, as scikit-learn splits them; but each
    Chinese character and Japanese kana is a word, since no space parts them. Capitals, ß and ss,
    composed and decomposed accents, wide and narrow forms, Romanian ş and ș are the same.
    Scripts that write vowels as marks (Devanagari, Thai) are cut at the marks, in queries and
    documents alike.

    >>> words("Straßenbau-Ingenieur (m/w), 軟體 C++")
    ['strassenbau', 'ingenieur', '軟', '體']
    """
    plain = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return WORD.findall(plain.translate(CEDILLA))


def bm25_search(
    queries: Mapping[str, str], corpus: Mapping[str, str], k: int, cells: int = CELLS
) -> dict[str, dict[str, float]]:
    """The k best documents of each query by Okapi BM25 over `words`.

    queries, corpus: id → text. Number, document frequencies and mean length are the corpus's own;
                     a word that is n times in the query counts n times
    k:               documents a query at most, ≥ 1, best first by the tie rule (`ranking`). Those
                     that share no word with the query have the score 0 and are left out
    cells:           scores [query, document] in memory at once; no result depends on it

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

    A word's weight is (1 + ln f) (1 + ln((1 + N) / (1 + df))), f how often the text has it, as in
    `jdcv_core.floors.tfidf_cosine`; N and df are those of the corpus. Arguments, result and
    errors are those of `bm25_search`; scores are at most 1, up to rounding.
    """
    ids, texts = _columns(corpus)
    vectorizer = TfidfVectorizer(sublinear_tf=True, analyzer=words)
    vectors = csr_matrix(vectorizer.fit_transform(texts))
    # The normalisation refuses an empty matrix.
    asked = csr_matrix(vectorizer.transform(list(queries.values())) if queries else vectors[:0])
    return _search(list(queries), ids, asked, vectors, k, cells)


def rrf(runs: Sequence[Run], k0: int | float = 60) -> dict[str, dict[str, float]]:
    """Reciprocal rank fusion: one run out of several, by their ranks alone.

        score(d) = Σ over runs of 1 / (k0 + rank of d), rank 1 for the best

    A document that a run does not rank gets nothing from it. Ranks are by the tie rule (`ranking`);
    the order of the runs is of no effect.

    runs: query id → document id → score, of any scale
    k0:   ≥ 0, how little the first ranks stand out
    Returns a run over all queries and documents of any of them, best first.
    Raises ValueError for k0 < 0 or a score that is nan.
    Source: Cormack, Clarke and Büttcher 2009, with their 60.

    >>> rrf([{"jd:1": {"a": 9.0, "b": 8.0}}, {"jd:1": {"b": 0.2}}], k0=0)
    {'jd:1': {'b': 1.5, 'a': 1.0}}
    """
    if not k0 >= 0:
        raise ValueError(f"k0 must be at least 0, got {k0}")
    parts: dict[str, dict[str, list[float]]] = {}
    for run in runs:
        for query, own in run.items():
            fused = parts.setdefault(query, {})
            for rank, document in enumerate(ranking(own), start=1):
                fused.setdefault(document, []).append(1 / (k0 + rank))
    result = {}
    for query, fused in parts.items():
        scores = {document: math.fsum(part) for document, part in fused.items()}
        result[query] = {document: scores[document] for document in ranking(scores)}
    return result


def _columns(corpus: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """Ids and texts in order of id, so that a lower column wins a tie."""
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
    """The k best of asked @ weights.T, without those of score 0.

    asked [query word], weights [document word], documents in order of id. The product is made block
    by block of at most `cells` scores; a score is one sum over the query's words in their order, so
    blocks change no bit of it.
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
