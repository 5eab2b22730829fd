"""Documents that are nearly the same text, found exactly. Ours.

MinHash with LSH (the `datasketch` library) estimates the same similarity with an error and by a
loop in Python; one sparse matrix product gives it exactly, in 0.2 s for 500 documents.
"""

import re
from collections.abc import Iterable, Sequence

import numpy as np
from scipy.sparse import coo_matrix, csr_matrix
from scipy.sparse.csgraph import connected_components

from jdcv_core.progress import progress
from jdcv_core.readable_text import readable
from jdcv_core.types import SIDES, Document

SHINGLE = 3
"""Words in a row that are compared as one."""

THRESHOLD = 0.5
"""The least Jaccard similarity of near-duplicates. Measured on 333 real CVs: 20 pairs are one CV
twice, with its entries in another order, and have similarities from 0.65 to 0.93; the most similar
CVs of two people have 0.10."""

_BLOCK = 256
_WORD = re.compile(r"\w+")


def near_duplicate_groups(documents: Iterable[Document]) -> dict[str, str]:
    """Document id → the smallest id of its group; a document without a near-duplicate is its own.

    Two documents of one side are near-duplicates if the sets A, B of their shingles (SHINGLE words
    in a row, lower case, punctuation ignored) have |A ∩ B| / |A ∪ B| ≥ THRESHOLD. Groups are the
    connected components of that relation: the near-duplicate of a near-duplicate belongs to them.
    A CV and a JD are never in one group, and a document without a word is alone.

    documents: of both sides, in any order; the result does not depend on it

    Time grows with the square of the number of documents: 4,000 documents of 1,000 words take about
    8 seconds and 100 MB.

    >>> texts = {"cv:1": "led a team of five", "cv:2": "Led a team of five.", "cv:3": "sold cars"}
    >>> near_duplicate_groups(Document(i, text) for i, text in texts.items())
    {'cv:1': 'cv:1', 'cv:2': 'cv:1', 'cv:3': 'cv:3'}
    """
    ordered = sorted(documents, key=lambda document: document.id)
    groups: dict[str, str] = {}
    for side in SIDES:
        mine = [document for document in ordered if document.side == side]
        if not mine:
            continue
        first, second = _similar(_shingles([d.text for d in mine]), side)
        links = coo_matrix((np.ones(len(first)), (first, second)), shape=(len(mine), len(mine)))
        _, component = connected_components(links, directed=False)
        # Ids are sorted, so the first of a component is its smallest.
        _, smallest, component = np.unique(component, return_index=True, return_inverse=True)
        groups |= {d.id: mine[smallest[c]].id for d, c in zip(mine, component, strict=True)}
    return groups


def compared_words(text: str) -> list[str]:
    """The words of a text by which near-duplicates are compared.

    >>> compared_words("Led a team - of FIVE.")
    ['led', 'a', 'team', 'of', 'five']
    """
    return _WORD.findall(readable(text).text.lower())


def _shingles(texts: Sequence[str]) -> csr_matrix:
    """[doc, shingle], 1 where the document has the shingle.

    Shingles are numbered, not hashed, so two never collide. SHINGLE - 1 blanks precede the first
    word, so that a text of fewer words has shingles, too.
    """
    number: dict[str, int] = {}
    blanks = [0] * (SHINGLE - 1)
    documents = []
    for text in texts:
        words = [number.setdefault(w, len(number) + 1) for w in compared_words(text)]
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


def _similar(shingles: csr_matrix, side: str) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers (first < second) of the pairs whose Jaccard similarity reaches THRESHOLD."""
    size = np.diff(shingles.indptr)
    transposed = shingles.T.tocsr()
    found = [np.zeros((2, 0), dtype=np.int64)]
    with progress(f"Near-duplicates ({side})", len(size), least=1000) as advance:
        for start in range(0, len(size), _BLOCK):
            shared = (shingles[start : start + _BLOCK] @ transposed).tocoo()
            row, column, both = shared.row + start, shared.col, shared.data
            near = (row < column) & (both >= THRESHOLD * (size[row] + size[column] - both))
            found.append(np.stack([row[near], column[near]]))
            advance(min(_BLOCK, len(size) - start))
    first, second = np.concatenate(found, axis=1)
    return first, second
