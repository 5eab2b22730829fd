"""A trained scorer orders the best documents of a search."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jdcv_core.types import Side
from research.retrieval.segment import Entry

Reranker = Callable[[Entry, Sequence[Entry]], np.ndarray]
"""(query, documents) → the score of each document, float [document]. Documents have no texts."""


def scorer_reranker(
    scorer: Any,
    side: Side,
    words_of: Callable[[Sequence[Entry], Side], list[np.ndarray]] | None = None,
) -> Reranker:
    """A trained scorer (an nn.Module, see `jdcv_core.scoring.Scorer`) as a reranker.

    side:     of the documents. The index must hold the whitened vectors that the scorer was trained
              on
    words_of: entries and their side → the words of each one's chunks, [chunk, term, 2], for a
              scorer that `reads_words`; then the entries that are reranked have their texts
    """
    from jdcv_core.scoring import score_vectors  # torch: a search without a reranker needs none

    def scores(query: Entry, documents: Sequence[Entry]) -> np.ndarray:
        named = {str(number): document for number, document in enumerate(documents)}
        pairs = [(name, "query") if side == "cv" else ("query", name) for name in named]
        named["query"] = query
        vectors = {name: entry.vectors for name, entry in named.items()}
        months = {n: entry.months for n, entry in named.items() if entry.months is not None}
        words = None
        if words_of is not None:
            words = dict(zip(named, words_of(documents, side), strict=False))
            (words["query"],) = words_of([query], "jd" if side == "cv" else "cv")
        return score_vectors(scorer, pairs, vectors, months, words)

    scores.reads_text = words_of is not None  # type: ignore[attr-defined]
    return scores
