"""Words and vectors in one score: the weighted mean of two standard scores."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jdcv_core.errors import InputError

REFERENCE = 512
"""Documents whose scores give the mean and the deviation of a query."""


@dataclass(frozen=True)
class Weights:
    """How much words and vectors count in a search.

    words:   of the cosine of TF-IDF (`word_search`)
    vectors: of MaxSim over chunk vectors (`late_interaction`)

    Only their ratio matters. With one of them 0, the other one alone decides. With the default,
    vectors help where they say something, and do little harm where they do not: see
    docs/results/retrieval.md. `fit_weights` finds others where there are judgements.
    Raises InputError for a weight below 0, and if both are 0.
    """

    words: int | float = 4
    vectors: int | float = 1

    def __post_init__(self) -> None:
        if not (self.words >= 0 and self.vectors >= 0 and self.words + self.vectors > 0):
            what = "weights must be at least 0, and one of them above"
            raise InputError(f"words={self.words}, vectors={self.vectors}", what, "give 4 and 1")

    def __str__(self) -> str:
        share = self.words / (self.words + self.vectors)
        return f"words {share:.2f}, vectors {1 - share:.2f}"


WORDS, VECTORS = Weights(1, 0), Weights(0, 1)


def reference_documents(count: int) -> np.ndarray:
    """The numbers of at most REFERENCE documents, evenly spread over all: int64 [document]."""
    return np.unique(np.linspace(0, count - 1, min(count, REFERENCE)).astype(np.int64))


def fused(
    words: np.ndarray,
    vectors: np.ndarray,
    weights: Weights,
    reference: tuple[np.ndarray, np.ndarray],
) -> np.ndarray:
    """How many standard deviations a document is above the mean document: float64 [document].

        score = (w_words z(words) + w_vectors z(vectors)) / (w_words + w_vectors)
        z(x)  = (x - mean of x) / deviation of x, over the reference; 0 if that is 0

    words, vectors: scores of the same documents for one query, float [document]
    reference:      words and vectors of the documents that stand for all of the index

    Scores and not ranks are added, so a document that is far better by one of them stays far
    better. The reference does not depend on what was found, so neither does a score. Ours.

    >>> words, vectors = np.array([0.0, 0.4]), np.array([0.3, 0.1])
    >>> fused(words, vectors, Weights(3, 1), (words, vectors)).round(6).tolist()
    [-0.5, 0.5]
    """
    total = weights.words * _standard(words, reference[0])
    total += weights.vectors * _standard(vectors, reference[1])
    return total / (weights.words + weights.vectors)


def _standard(scores: np.ndarray, reference: np.ndarray) -> np.ndarray:
    deviation = reference.std(dtype=np.float64)
    if deviation < 1e-9:  # equal but for rounding
        return np.zeros(len(scores))
    return (scores.astype(np.float64) - reference.mean(dtype=np.float64)) / deviation
