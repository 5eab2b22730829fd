"""Documents that are nearly the same text, found exactly. Ours.

MinHash with LSH (the `datasketch` library) estimates the same similarity with an error and by a
loop in Python; one sparse matrix product gives it exactly, in 0.2 s for 500 documents.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from scipy.sparse import coo_matrix, csr_matrix
from scipy.sparse.csgraph import connected_components

from jdcv_core.progress import progress
from jdcv_core.types import SIDES, Document

SHINGLE = 3
"""Words in a row that are compared as one."""

THRESHOLD = 0.5
"""Measured on 333 real CVs: 20 pairs are one CV twice, its entries re-rendered in another order,
with Jaccard similarities from 0.65 to 0.93; the most similar pair of two people has 0.10."""

_BLOCK = 256
_WORD = re.compile(r"\w+")


def near_duplicate_groups(
    documents: Iterable[Document], threshold: float = THRESHOLD
) -> dict[str, str]:
    """Document id → the smallest id of its group; a document without a near-duplicate is its own.

    Two documents of one side are near-duplicates if the sets A, B of their shingles (SHINGLE words
    in a row, lower case, punctuation ignored) have |A ∩ B| / |A ∪ B| ≥ threshold. Groups are the
    connected components of that relation: the near-duplicate of a near-duplicate belongs to them.
    A CV and a JD are never in one group, and a document without a word is alone.

    documents: of both sides, in any order; the result does not depend on it
    threshold: above 0, at most 1

    Raises ValueError for another threshold. Time grows with the square of the number of documents:
    4,000 of 1,000 words take about 8 seconds and 100 MB.
    """
    if not 0 < threshold <= 1:
        raise ValueError(f"the threshold is {threshold}, not in (0, 1]")
    ordered = sorted(documents, key=lambda document: document.id)
    groups: dict[str, str] = {}
    for side in SIDES:
        mine = [document for document in ordered if document.side == side]
        if not mine:
            continue
        first, second = _similar(_shingles([d.text for d in mine]), threshold, side)
        links = coo_matrix((np.ones(len(first)), (first, second)), shape=(len(mine), len(mine)))
        _, component = connected_components(links, directed=False)
        # Ids are sorted, so the first of a component is its smallest.
        _, smallest, component = np.unique(component, return_index=True, return_inverse=True)
        groups |= {d.id: mine[smallest[c]].id for d, c in zip(mine, component, strict=True)}
    return groups


def _shingles(texts: Sequence[str]) -> csr_matrix:
    """[doc, shingle], 1 where the document has the shingle.

    Shingles are numbered, not hashed, so two never collide. SHINGLE - 1 blanks are put before the
    first word: a text of fewer words still has shingles.
    """
    number: dict[str, int] = {}
    blanks = [0] * (SHINGLE - 1)
    documents = []
    for text in texts:
        words = [number.setdefault(w, len(number) + 1) for w in _WORD.findall(text.lower())]
        documents.append(np.array(blanks + words if words else [], dtype=np.int64))
    lengths = np.array([max(0, len(d) - SHINGLE + 1) for d in documents])
    code = np.zeros(lengths.sum(), dtype=np.int64)
    for offset in range(SHINGLE):
        starts = zip(documents, lengths, strict=True)
        word = np.concatenate([d[offset : offset + n] for d, n in starts])
        # Renumbered after each word, so that the codes stay far below 2^63.
        _, code = np.unique(code * (len(number) + 1) + word, return_inverse=True)
    row = np.repeat(np.arange(len(texts)), lengths)
    columns = int(code.max(initial=-1)) + 1
    matrix = csr_matrix((np.ones(len(row), dtype=np.int32), (row, code)), (len(texts), columns))
    matrix.sum_duplicates()
    matrix.data[:] = 1
    return matrix


def _similar(shingles: csr_matrix, threshold: float, side: str) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers (first < second) of the pairs whose Jaccard similarity reaches the threshold."""
    size = np.diff(shingles.indptr)
    transposed = shingles.T.tocsr()
    found = [np.zeros((2, 0), dtype=np.int64)]
    with _progress_if_long(f"Near-duplicates ({side})", len(size)) as advance:
        for start in range(0, len(size), _BLOCK):
            shared = (shingles[start : start + _BLOCK] @ transposed).tocoo()
            row, column, both = shared.row + start, shared.col, shared.data
            near = (row < column) & (both >= threshold * (size[row] + size[column] - both))
            found.append(np.stack([row[near], column[near]]))
            advance(min(_BLOCK, len(size) - start))
    first, second = np.concatenate(found, axis=1)
    return first, second


@contextmanager
def _progress_if_long(description: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar only from 1,000 documents on: fewer take less than a second."""
    if total < 1000:
        yield lambda steps: None
    else:
        with progress(description, total) as advance:
            yield advance
