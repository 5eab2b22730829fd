"""Search by words: the cosine of TF-IDF vectors over all segments of an index."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from math import log

import numpy as np
from scipy.sparse import csc_array, csr_array

from research.retrieval.order import distinct_values, k_best
from research.retrieval.word_counts import Counts, WordCounts, hash_of, starts_of
from research.retrieval.words import words

ALL = 16_384
"""In an index of at most so many documents, the frequent words of all documents are read."""
TERM_FREQUENCY = 1 + np.log(np.arange(256).clip(min=1))
"""1 + ln f of each count f."""
LAST = np.uint64(2**64 - 1)
"""The last hash. It is in every index, so that a search for a hash ends at one."""


class WordIndex:
    """Scores texts with the documents of an index by their words.

        s(query, document) = cosine of their weights (1 + ln f) (1 + ln((1 + N) / (1 + df)))

    f counts a word in the text; N and df are those of the whole index, now: a change of the index
    needs a new object. Words that no document has are left out. Equals `lexical.tfidf_search`,
    which is scikit-learn's TF-IDF, for words that occur at most 255 times in a document.

    parts:  of each segment, in order
    firsts: int64 [part + 1], the number of the first document of each part
    hashes: uint64 [word], ascending, of all words
    df:     int32 [word], documents that have the word
    norms:  float64 [document], the lengths of the documents' weights; 1 for one without a word

    In memory are also two directories: the lists of each word in all parts, and where the frequent
    words of each document begin. The lists themselves stay on the disk.
    """

    def __init__(self, parts: Sequence[WordCounts]) -> None:
        self.parts = parts
        self.firsts = np.cumsum([0, *map(len, parts)])
        every = _joined([*(p.hashes for p in parts), np.array([LAST])], np.uint64)
        self.hashes = distinct_values(every)
        words = [np.searchsorted(self.hashes, p.hashes).astype(np.int32) for p in parts]
        self.df = np.zeros(len(self.hashes), np.int32)
        for word, part in zip(words, parts, strict=True):
            self.df[word] += part.having().astype(np.int32)
        norms = [_norms(p, self.idf(word)) for p, word in zip(parts, words, strict=True)]
        self.norms = _joined(norms, np.float64)
        self._lists = np.cumsum([0, *(len(p.starts) for p in parts)])
        self._list_starts = _joined([p.starts for p in parts], np.int32)
        self._of_word = _by_word(words, self._lists, len(self.hashes))
        often = [word[p.frequent_words] for p, word in zip(parts, words, strict=True)]
        self._slots = np.cumsum([0, *map(len, often)])
        self._word_of_slot = _joined(often, np.int32)
        self._frequent_starts = _joined([p.frequent_starts for p in parts], np.int32)

    def __len__(self) -> int:
        return int(self.firsts[-1])

    def ask(self, words: Counts) -> WordScores:
        """The scores of all documents with a text. words: of that text (`count_words`)"""
        return WordScores(self, words)

    def idf(self, word: np.ndarray) -> np.ndarray:
        """1 + ln((1 + N) / (1 + df)) of some words, float64 [word]. word: places in `hashes`"""
        return 1 + np.log((1 + len(self)) / (1 + self.df[word]))

    def common(self, document: int, text: str, query: str, most: int = 8) -> tuple[str, ...]:
        """The words that a document shares with a query, those that add most to its score first;
        equal ones in alphabetical order. text: of the document"""
        asked, said = Counter(words(query)), Counter(words(text))
        shared = sorted(asked.keys() & said.keys())
        hashes = np.fromiter(map(hash_of, shared), np.uint64, len(shared))
        idf = self.idf(np.searchsorted(self.hashes, hashes))
        frequency = [(1 + log(asked[w])) * (1 + log(said[w])) for w in shared]
        order = np.argsort(-np.array(frequency) * idf**2, kind="stable")[:most]
        return tuple(shared[n] for n in order.tolist())

    def nbytes(self) -> int:
        """Bytes that stay in memory."""
        own = self.hashes, self.df, self.norms, self._list_starts, self._of_word.data
        rest = self._of_word.indptr, self._word_of_slot, self._frequent_starts
        return sum(array.nbytes for array in (*own, *rest))

    def rare_sums(self, word: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """The sums of weight (1 + ln f) over the rare words of each document, float64 [document].

        word: int64 [word], places in `hashes`; weights: float64 [word]
        """
        first = self._of_word.indptr[word]
        found, owner = _ranges(first, self._of_word.indptr[word + 1])
        lists = self._of_word.data[found]
        order = np.argsort(lists)  # part by part, so that sums stay in the cache
        lists, weights = lists[order], weights[owner[order]]
        part = np.searchsorted(self._lists, lists, side="right") - 1
        files = [(p.documents, p.counts) for p in self.parts]
        bounds = self._list_starts[lists], self._list_starts[lists + 1]
        entries = _entries(files, self.firsts, part, *bounds)
        return csc_array(entries, shape=(len(self), len(lists))) @ weights

    def frequent_sums(self, documents: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """The same over the frequent words of some documents, ascending. weights: float64 [slot]"""
        part = np.searchsorted(self.firsts, documents, side="right") - 1
        files = [(p.frequent, p.frequent_counts) for p in self.parts]
        bounds = (self._frequent_starts[documents + part + n] for n in (0, 1))
        entries = _entries(files, self._slots, part, *bounds)
        return csr_array(entries, shape=(len(documents), len(weights))) @ weights

    def slot_weights(self, word: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """The weight of each slot, float64 [slot]: 0 but for some words, given by their places."""
        found = np.zeros(len(self.hashes))
        found[word] = weights
        return found[self._word_of_slot]


class WordScores:
    """The scores of the documents of a `WordIndex` with one text."""

    def __init__(self, index: WordIndex, words: Counts) -> None:
        hashes, counts = words
        word = np.searchsorted(index.hashes, hashes)
        known = index.hashes[word] == hashes
        word = word[known]
        idf = index.idf(word)
        weights = TERM_FREQUENCY[counts[known]] * idf
        self._index = index
        self._length = max(float(np.linalg.norm(weights)), 1e-300)
        self._sums = index.rare_sums(word, weights * idf)
        self._slot_weights = index.slot_weights(word, weights * idf)

    @property
    def without_frequent(self) -> np.ndarray:
        """The scores without the frequent words, float64 [document]."""
        return self._sums / (self._index.norms * self._length)

    def of(self, documents: np.ndarray) -> np.ndarray:
        """The scores of some documents, float64 [document]. documents: numbers, ascending"""
        sums = self._sums[documents] + self._index.frequent_sums(documents, self._slot_weights)
        return sums / (self._index.norms[documents] * self._length)

    def best(self, k: int, allowed: np.ndarray | None = None) -> np.ndarray:
        """The k documents with the highest scores, ascending; in a large index, those with the
        highest scores without frequent words. allowed: numbers, ascending; None: all."""
        every = np.arange(len(self._index)) if allowed is None else allowed
        if len(every) <= k:
            return every
        if len(every) <= ALL:
            scores = self.of(every)
        else:
            scores = self.without_frequent if allowed is None else self.without_frequent[allowed]
        return np.sort(every[k_best(scores, every, k)])


def _by_word(words: Sequence[np.ndarray], firsts: np.ndarray, count: int) -> csc_array:
    """The numbers of the lists of each word, as the columns of a matrix [part, word].

    words:  int32 [list] of each part, the words of its lists
    firsts: the number of the first list of each part
    """
    lists = [
        np.arange(len(w), dtype=np.int32) + int(n) for w, n in zip(words, firsts, strict=False)
    ]
    starts = starts_of(np.array([len(w) for w in words], np.int64)).astype(np.int32)
    by_part = _joined(lists, np.int32), _joined(words, np.int32), starts
    found = csr_array(by_part, shape=(len(words), count)).tocsc()
    found.indices = np.empty(0, np.int32)
    return found


def _norms(part: WordCounts, idf: np.ndarray) -> np.ndarray:
    """The lengths of the documents' weights; 1 for a document without a word."""
    squares, own = TERM_FREQUENCY**2, idf**2
    rare = squares.take(part.counts), *_int32(part.documents, part.starts)
    often = squares.take(part.frequent_counts), *_int32(part.frequent, part.frequent_starts)
    words = part.frequent_words
    found = csc_array(rare, shape=(len(part), len(own))) @ own
    found += csr_array(often, shape=(len(part), len(words))) @ own[words]
    return np.where(found > 0, np.sqrt(found), 1.0)


def _entries(
    files: Sequence[tuple[np.ndarray, np.ndarray]],
    bases: np.ndarray,
    part: np.ndarray,
    first: np.ndarray,
    end: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The entries of some lists as scipy's sparse arrays take them: 1 + ln of the count, place, and
    where each list begins.

    files: places and counts of each part; bases: what is added to the places of a part
    part:  int64 [list], ascending; first, end: where the entries of a list begin and end in files
    """
    entries, owner = _ranges(first, end)
    starts = starts_of(end - first)
    places = np.empty(len(entries), np.uint16)
    counts = np.empty(len(entries), np.uint8)
    bounds = starts[np.searchsorted(part, np.arange(len(files) + 1))].tolist()
    for (own_places, own_counts), (a, b) in zip(files, pairwise(bounds), strict=True):
        np.take(own_places, entries[a:b], out=places[a:b], mode="clip")
        np.take(own_counts, entries[a:b], out=counts[a:b], mode="clip")
    whole = places + bases.astype(np.int32)[part][owner]
    return TERM_FREQUENCY.take(counts), whole, *_int32(starts)


def _ranges(first: np.ndarray, end: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """All numbers from each first to its end, and the place of the range of each."""
    lengths = end - first
    ends = np.cumsum(lengths, dtype=np.int64)
    owner = np.repeat(np.arange(len(lengths), dtype=np.int32), lengths)
    return np.arange(len(owner)) + (first - ends + lengths)[owner], owner


def _joined(arrays: Sequence[np.ndarray], kind: type) -> np.ndarray:
    return np.concatenate([np.empty(0, kind), *arrays], dtype=kind, casting="same_kind")


def _int32(*arrays: np.ndarray) -> list[np.ndarray]:
    return [array.astype(np.int32) for array in arrays]
