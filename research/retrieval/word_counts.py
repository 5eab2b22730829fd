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
        lengths = [len(hashes) for hashes, _ in each]
        every = np.concatenate([hashes for hashes, _ in each]) if each else np.empty(0, np.uint64)
        counts = np.concatenate([own for _, own in each]) if each else np.empty(0, np.uint8)
        document = np.repeat(np.arange(len(each)), lengths)
        hashes, word, having = np.unique(every, return_inverse=True, return_counts=True)
        often = np.argsort(-having, kind="stable")[:MOST_FREQUENT]
        is_frequent = np.zeros(len(hashes), bool)
        is_frequent[often] = having[often] * FREQUENT > len(each)
        in_frequent = is_frequent[word]
        rare = np.flatnonzero(~in_frequent)
        rare = rare[np.argsort(word[rare], kind="stable")]
        place = np.cumsum(is_frequent) - 1  # of each frequent word among the frequent ones
        return cls(
            hashes,
            _starts(np.where(is_frequent, 0, having)),
            document[rare].astype(np.uint16),
            counts[rare],
            _starts(np.bincount(document[in_frequent], minlength=len(each))),
            place[word[in_frequent]].astype(np.uint16),
            counts[in_frequent],
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
        word = np.repeat(np.arange(len(self.hashes)), np.diff(self.starts))
        frequent = self.frequent_words[self.frequent]
        owner = np.repeat(np.arange(len(self)), np.diff(self.frequent_starts))
        document = np.concatenate([self.documents.astype(np.int64), owner])
        word = np.concatenate([word, frequent])
        counts = np.concatenate([self.counts, self.frequent_counts])
        order = np.lexsort((word, document))
        hashes, counts = self.hashes[word[order]], counts[order]
        ends = _starts(np.bincount(document, minlength=len(self)))
        return [(hashes[a:b], counts[a:b]) for a, b in pairwise(ends.tolist())]


def _starts(counts: np.ndarray) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
