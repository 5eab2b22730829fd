"""Which words the documents of a segment have, and how often, as arrays that stay on the disk.

    words/hashes.npy           uint64 [word], ascending: the first 8 bytes of each word's BLAKE2b
    words/starts.npy           int64 [word + 1], where the documents of each rare word begin
    words/documents.npy        uint16 [entry], the documents of the rare words, word by word
    words/counts.npy           uint8 [entry], how often; more than 255 count as 255
    words/frequent_starts.npy  int64 [document + 1], where the frequent words of each one begin
    words/frequent.npy         uint16 [entry], the frequent words, document by document
    words/frequent_counts.npy  uint8 [entry]

A word is frequent if more than one document in FREQUENT has it. Most entries are those of such
words, which distinguish little. So a search reads the lists of its rare words for all documents,
and the frequent words of the candidates alone; each entry is kept once, in three bytes. Ours; a
library such as bm25s cannot remove a document, and fixes document frequencies when it is built.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property, lru_cache
from itertools import pairwise
from pathlib import Path

import numpy as np

from research.retrieval.words import words

FREQUENT = 16
MOST_FREQUENT = 2**16
FOLDER = "words"

Counts = tuple[np.ndarray, np.ndarray]
"""Of one document, the hashes of its words, uint64 [word], ascending, and how often each occurs,
uint8 [word]."""


def count_words(text: str) -> Counts:
    """The words of a text (`words`) and how often each of them occurs."""
    found = Counter(words(text))
    hashes = np.fromiter(map(hash_of, found), np.uint64, len(found))
    counts = np.fromiter(found.values(), np.int64, len(found)).clip(max=255).astype(np.uint8)
    order = np.argsort(hashes)
    return hashes[order], counts[order]


@lru_cache(maxsize=1 << 18)
def hash_of(word: str) -> int:
    """The first 8 bytes of the BLAKE2b of a word, so that no list of words lies on the disk."""
    return int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest(), "little")


@dataclass(frozen=True)
class WordCounts:
    """The words of the documents of one segment; see the module for the arrays."""

    hashes: np.ndarray
    starts: np.ndarray
    documents: np.ndarray
    counts: np.ndarray
    frequent_starts: np.ndarray
    frequent: np.ndarray
    frequent_counts: np.ndarray

    @classmethod
    def of(cls, each: Sequence[Counts]) -> WordCounts:
        """Arrange the words of at most 65,536 documents."""
        every = np.concatenate([np.empty(0, np.uint64), *(hashes for hashes, _ in each)])
        counts = np.concatenate([np.empty(0, np.uint8), *(own for _, own in each)])
        document = np.repeat(np.arange(len(each)), [len(hashes) for hashes, _ in each])
        hashes, word = np.unique(every, return_inverse=True)
        return _arranged(hashes, len(each), document, word, counts)

    def only(self, kept: np.ndarray) -> WordCounts:
        """The words of some documents, as `of` would arrange them. kept: bool [document]"""
        document, word, counts = self._entries()
        mine = kept[document]
        place = np.cumsum(kept) - 1
        return _arranged(
            self.hashes, int(kept.sum()), place[document[mine]], word[mine], counts[mine]
        )

    @classmethod
    def read(cls, folder: Path) -> WordCounts:
        """Open the files of a segment; the large ones stay on the disk."""
        names = [field.name for field in fields(cls)]
        loaded = [np.load(folder / FOLDER / f"{n}.npy", mmap_mode="r") for n in names]
        return cls(*(array.view(np.ndarray) for array in loaded))

    def save(self, space: Path) -> Mapping[str, Path]:
        """Write the files into a folder; returns the name of each within a segment → the file."""
        (space / FOLDER).mkdir()
        found = {}
        for field in fields(self):
            name = f"{FOLDER}/{field.name}.npy"
            np.save(space / name, getattr(self, field.name), allow_pickle=False)
            found[name] = space / name
        return found

    def __len__(self) -> int:
        return len(self.frequent_starts) - 1

    @cached_property
    def frequent_words(self) -> np.ndarray:
        """The places of the frequent words among all: int64 [frequent word], ascending. Every word
        is in some document, so those without a list are frequent."""
        return np.flatnonzero(np.diff(self.starts) == 0)

    def having(self) -> np.ndarray:
        """How many documents have each word: int64 [word]."""
        found = np.diff(self.starts)
        often = self.frequent_words
        found[often] = np.bincount(self.frequent, minlength=len(often))
        return found

    def each(self) -> list[Counts]:
        """The words of each document; the inverse of `of`."""
        document, word, counts = _sorted(*self._entries())
        hashes = self.hashes[word]
        ends = starts_of(np.bincount(document, minlength=len(self)))
        return [(hashes[a:b], counts[a:b]) for a, b in pairwise(ends.tolist())]

    def _entries(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Document, word and count of each entry."""
        owner = np.repeat(np.arange(len(self)), np.diff(self.frequent_starts))
        rare = np.repeat(np.arange(len(self.hashes)), np.diff(self.starts))
        return (
            np.concatenate([self.documents.astype(np.int64), owner]),
            np.concatenate([rare, self.frequent_words[self.frequent]]),
            np.concatenate([self.counts, self.frequent_counts]),
        )


def _arranged(
    hashes: np.ndarray, size: int, document: np.ndarray, word: np.ndarray, counts: np.ndarray
) -> WordCounts:
    """Arrange entries, in any order. hashes: of words, also of some without an entry."""
    having = np.bincount(word, minlength=len(hashes))
    used = having > 0
    hashes, having, word = hashes[used], having[used], (np.cumsum(used) - 1)[word]
    often = np.argsort(-having, kind="stable")[:MOST_FREQUENT]
    is_frequent = np.zeros(len(hashes), bool)
    is_frequent[often] = having[often] * FREQUENT > size
    frequent = is_frequent[word]
    rare = ~frequent
    rare_word, rare_document, rare_counts = _sorted(word[rare], document[rare], counts[rare])
    owner, often_word, often_counts = _sorted(document[frequent], word[frequent], counts[frequent])
    place = np.cumsum(is_frequent) - 1  # of each frequent word among the frequent ones
    return WordCounts(
        hashes,
        starts_of(np.bincount(rare_word, minlength=len(hashes))),
        rare_document.astype(np.uint16),
        rare_counts,
        starts_of(np.bincount(owner, minlength=size)),
        place[often_word].astype(np.uint16),
        often_counts,
    )


def _sorted(
    first: np.ndarray, second: np.ndarray, counts: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sort entries by the first number, then by the second; both are below 2^28. One sort of packed
    numbers takes a tenth of the time of a sort of places."""
    packed = first.astype(np.uint64) << np.uint64(36) | second.astype(np.uint64) << np.uint64(8)
    packed |= counts
    packed.sort()
    own = ((packed >> np.uint64(8)) & np.uint64(2**28 - 1)).astype(np.int64)
    return (packed >> np.uint64(36)).astype(np.int64), own, packed.astype(np.uint8)


def starts_of(counts: np.ndarray) -> np.ndarray:
    """Where each of some lists begins that lie one after the other: int64 [list + 1]."""
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
