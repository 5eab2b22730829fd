"""Near-duplicates among the documents of an index, found by their signatures. MinHash (Broder 1997)
with banding (Leskovec, Rajaraman & Ullman, "Mining of Massive Datasets", section 3.4).

Two documents are copies if the share of equal numbers in their signatures, an estimate of the
Jaccard similarity of their shingles, reaches the threshold of `jdcv_core.data.near_duplicates`,
which computes the same similarity exactly, but in quadratic time. A signature belongs to one
document: when the document is erased, its signature goes with it.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from jdcv_core.data.near_duplicates import SHINGLE, THRESHOLD, compared_words

HASHES = 128
"""Numbers in a signature (512 bytes). The standard error of the estimate is below 0.045."""
ROWS = 3
"""Numbers in a band. A pair is compared if one of HASHES // ROWS bands is equal: with a similarity
of 0.5 the probability is .996, and with 0.01, as of two unrelated CVs, .00004."""
NEIGHBOURS = 8
"""Documents before it with which a document of a band is compared, so that the time does not grow
with the square of the number of copies."""
NOTHING = np.uint32(0xFFFFFFFF)
"""All numbers of a document without a word, which is no copy of another."""
BLOCK = 4096
"""Shingles that are hashed, and pairs that are compared, in one step."""

_random = np.random.default_rng(20_260_617)
_FLIPS = _random.integers(0, 2**64, HASHES, dtype=np.uint64)
_FACTORS = _random.integers(0, 2**64, HASHES, dtype=np.uint64) | np.uint64(1)
_ORDER = _random.integers(0, 2**64, SHINGLE, dtype=np.uint64) | np.uint64(1)


def signature(text: str) -> np.ndarray:
    """The MinHash signature of a text, uint32 [HASHES]: for each hash function the smallest hash of
    the text's shingles (SHINGLE words in a row, lower case, punctuation ignored).

    P(two signatures have the same number at a place) = |A ∩ B| / |A ∪ B|. It is the same on every
    machine and in every process.

    >>> a, b = (signature(text) for text in ("Led a team of five.", "led a team - of FIVE"))
    >>> bool((a == b).all()), bool((signature("...") == NOTHING).all())
    (True, True)
    """
    words = [_hash(word) for word in compared_words(text)]
    smallest = np.full(HASHES, NOTHING)
    if not words:
        return smallest
    padded = np.array([0] * (SHINGLE - 1) + words, dtype=np.uint64)
    code = np.zeros(len(words), dtype=np.uint64)
    for offset, factor in enumerate(_ORDER):
        code = (code ^ padded[offset : offset + len(words)]) * factor
        code ^= code >> np.uint64(29)
    code = np.unique(code)
    for at in range(0, len(code), BLOCK):
        hashed = (code[at : at + BLOCK, None] ^ _FLIPS) * _FACTORS  # [shingle, hash]
        np.minimum(smallest, (hashed >> np.uint64(32)).min(0).astype(np.uint32), out=smallest)
    return smallest


def alike(one: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Whether documents are copies, bool [document].

    one: uint32 [hash], or [document, hash] for pairs; others: uint32 [document, hash]
    """
    return ((one == others).mean(-1) >= THRESHOLD) & (others != NOTHING).any(-1)


def distinct(signatures: np.ndarray, k: int) -> list[list[int]]:
    """The first k documents of a ranking that are no copies of one before them.

    signatures: uint32 [document, hash], best document first
    Returns k lists, or fewer, of places: that of a document, and those of its copies in order. A
    copy of several documents is listed at the first.
    """
    left = np.arange(len(signatures))
    found: list[list[int]] = []
    while len(left) and len(found) < k:
        copy = alike(signatures[left[0]], signatures[left])
        copy[0] = True
        found.append(left[copy].tolist())
        left = left[~copy]
    return found


def groups(signatures: np.ndarray) -> list[list[int]]:
    """Groups of two or more near-duplicates: the copy of a copy belongs to the group.

    signatures: uint32 [document, hash]
    Returns places, ascending in each group, groups in the order of their first. A pair is found
    with the probability that ROWS states. The time grows as n log n.
    """
    count = len(signatures)
    some = np.flatnonzero((signatures != NOTHING).any(1))
    pairs = [np.empty((2, 0), np.int64)]
    for band in range(HASHES // ROWS):
        near = _same_band(signatures[some, band * ROWS : (band + 1) * ROWS])
        for at in range(0, near.shape[1], BLOCK):
            first, second = some[near[:, at : at + BLOCK]]
            real = alike(signatures[first], signatures[second])
            pairs.append(np.stack([first[real], second[real]]))
    first, second = np.concatenate(pairs, axis=1)
    links = coo_matrix((np.ones(len(first), np.int8), (first, second)), shape=(count, count))
    _, component = connected_components(links, directed=False)
    members: dict[int, list[int]] = {}
    for place in np.unique([first, second]).tolist():
        members.setdefault(int(component[place]), []).append(place)
    return list(members.values())


def _same_band(band: np.ndarray) -> np.ndarray:
    """Pairs of rows of a band, uint32 [document, row], that are equal and near each other in the
    sorted order: int64 [2, pair]."""
    key = np.zeros(len(band), np.uint64)
    for column in band.T:
        key = (key ^ column) * _FACTORS[0]
        key ^= key >> np.uint64(29)
    order = np.argsort(key)
    ranked = key[order]
    found = [np.empty((2, 0), np.int64)]
    for step in range(1, min(NEIGHBOURS, len(order) - 1) + 1):
        same = np.flatnonzero(ranked[step:] == ranked[:-step])
        if not len(same):
            break
        found.append(np.stack([order[same], order[same + step]]))
    return np.concatenate(found, axis=1)


@lru_cache(maxsize=1 << 16)
def _hash(word: str) -> int:
    data = word.encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(data, digest_size=8).digest(), "little")
