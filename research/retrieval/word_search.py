"""Search by words: the cosine of TF-IDF vectors over all segments of an index."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import log

import numpy as np

from research.retrieval.order import k_best
from research.retrieval.word_counts import Counts, WordCounts, hash_of
from research.retrieval.words import words

ALL = 16_384
"""In an index of at most so many documents, the frequent words of all documents are read."""
TERM_FREQUENCY = 1 + np.log(np.arange(256).clip(min=1))
"""1 + ln f of each count f."""


class WordIndex:
    """Scores texts with the documents of an index by their words.

        s(query, document) = cosine of their weights (1 + ln f) (1 + ln((1 + N) / (1 + df)))

    f counts a word in the text; N and df are those of the whole index, now: a change of the index
    needs a new object. Words that no document has are left out. Equals `lexical.tfidf_search`,
    which is scikit-learn's TF-IDF, for words that occur at most 255 times in a document.

    parts: of each segment, in order
    """

    def __init__(self, parts: Sequence[WordCounts]) -> None:
        self.parts = parts
        self.firsts = np.cumsum([0, *map(len, parts)])
        every = np.concatenate([np.empty(0, np.uint64), *(p.hashes for p in parts)])
        having = np.concatenate([np.empty(0, np.int64), *(p.having() for p in parts)])
        known, word = np.unique(every, return_inverse=True)
        df = np.bincount(word, weights=having, minlength=len(known))
        idf = (1 + np.log((1 + len(self)) / (1 + df)))[word]
        self.idf = np.split(idf, np.cumsum([len(p.hashes) for p in parts])[:-1])
        self.norms = np.concatenate(
            [np.empty(0), *(_norms(p, own) for p, own in zip(parts, self.idf, strict=True))]
        )

    def __len__(self) -> int:
        return int(self.firsts[-1])

    def ask(self, words: Counts) -> WordScores:
        """The scores of all documents with a text. words: of that text (`count_words`)"""
        return WordScores(self, words)

    def common(self, document: int, text: str, query: str, most: int = 8) -> tuple[str, ...]:
        """The words that a document shares with a query, those that add most to its score first;
        equal ones in alphabetical order. text: of the document"""
        asked, said = Counter(words(query)), Counter(words(text))
        shared = sorted(asked.keys() & said.keys())
        at = int(np.searchsorted(self.firsts, document, side="right")) - 1
        hashes = np.fromiter(map(hash_of, shared), np.uint64, len(shared))
        idf = self.idf[at][np.searchsorted(self.parts[at].hashes, hashes)]
        frequency = [(1 + log(asked[w])) * (1 + log(said[w])) for w in shared]
        order = np.argsort(-np.array(frequency) * idf**2, kind="stable")[:most]
        return tuple(shared[n] for n in order.tolist())

    def nbytes(self) -> int:
        """Bytes that stay in memory."""
        return self.norms.nbytes + sum(own.nbytes for own in self.idf)


class WordScores:
    """The scores of the documents of a `WordIndex` with one text.

    without_frequent: float64 [document], the scores without the frequent words
    """

    def __init__(self, index: WordIndex, words: Counts) -> None:
        self._index = index
        hashes, counts = words
        self._asked: list[np.ndarray] = []  # float64 [frequent word] of each part
        sums = []
        squares = np.zeros(len(hashes))
        for part, idf in zip(index.parts, index.idf, strict=True):
            at = np.searchsorted(part.hashes, hashes)
            known = np.flatnonzero(at < len(part.hashes))
            known = known[part.hashes[at[known]] == hashes[known]]
            word, weight = at[known], TERM_FREQUENCY[counts[known]] * idf[at[known]]
            squares[known] = weight**2
            first, end = part.starts[word], part.starts[word + 1]
            sums.append(_rare(part, first, end, weight * idf[word]))
            asked = np.zeros(len(part.frequent_words))
            frequent = first == end
            place = np.searchsorted(part.frequent_words, word[frequent])
            asked[place] = (weight * idf[word])[frequent]
            self._asked.append(asked)
        self._lengths = index.norms * max(float(np.sqrt(squares.sum())), 1e-300)
        self._sums = np.concatenate([np.empty(0), *sums])

    @property
    def without_frequent(self) -> np.ndarray:
        return self._sums / self._lengths

    def of(self, documents: np.ndarray) -> np.ndarray:
        """The scores of some documents, float64 [document]. documents: numbers, ascending."""
        found = self._sums[documents]
        bounds = np.searchsorted(documents, self._index.firsts)
        for at, part in enumerate(self._index.parts):
            own = documents[bounds[at] : bounds[at + 1]] - self._index.firsts[at]
            if len(own) and self._asked[at].any():
                found[bounds[at] : bounds[at + 1]] += _frequent(part, own, self._asked[at])
        return found / self._lengths[documents]

    def best(self, k: int, allowed: np.ndarray | None = None) -> np.ndarray:
        """The k documents with the highest scores, ascending; in a large index, those with the
        highest scores without frequent words. allowed: numbers, ascending; None: all."""
        if allowed is None:
            allowed = np.arange(len(self._index))
        if len(allowed) <= k:
            return allowed
        exact = len(allowed) <= ALL
        scores = self.of(allowed) if exact else self.without_frequent[allowed]
        return np.sort(allowed[k_best(scores, allowed, k)])


def _norms(part: WordCounts, idf: np.ndarray) -> np.ndarray:
    """The lengths of the documents' weights; 1 for a document without a word."""
    word = np.repeat(idf, np.diff(part.starts))
    rare = np.bincount(
        part.documents, weights=(TERM_FREQUENCY[part.counts] * word) ** 2, minlength=len(part)
    )
    often = idf[part.frequent_words][part.frequent]
    document = np.repeat(np.arange(len(part)), np.diff(part.frequent_starts))
    frequent = np.bincount(
        document, weights=(TERM_FREQUENCY[part.frequent_counts] * often) ** 2, minlength=len(part)
    )
    found = np.sqrt(rare + frequent)
    return np.where(found > 0, found, 1.0)


def _rare(part: WordCounts, first: np.ndarray, end: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Sums over the lists from `first` to `end`, one of each word: float64 [document]."""
    entries, lengths = _ranges(first, end)
    values = TERM_FREQUENCY[part.counts[entries]] * np.repeat(weight, lengths)
    return np.bincount(part.documents[entries], weights=values, minlength=len(part))


def _frequent(part: WordCounts, documents: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Sums over the frequent words of some documents; asked: float64 [frequent word]."""
    first, end = part.frequent_starts[documents], part.frequent_starts[documents + 1]
    entries, lengths = _ranges(first, end)
    values = TERM_FREQUENCY[part.frequent_counts[entries]] * asked[part.frequent[entries]]
    owner = np.repeat(np.arange(len(documents)), lengths)
    return np.bincount(owner, weights=values, minlength=len(documents))


def _ranges(first: np.ndarray, end: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """All numbers from each first to its end, and how many each has: int64 [entry], [range]."""
    lengths = end - first
    ends = np.cumsum(lengths)
    total = int(ends[-1]) if len(ends) else 0
    return np.repeat(first - ends + lengths, lengths) + np.arange(total), lengths
