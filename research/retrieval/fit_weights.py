"""Choose the weights of words and vectors by judgements."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from research.retrieval.fused_scores import Weights

GRID = tuple(Weights(round(tenth / 10, 1), round(1 - tenth / 10, 1)) for tenth in range(11))
"""From vectors alone to words alone."""


@dataclass(frozen=True)
class FittedWeights:
    """What `fit_weights` found.

    weights:  the best of GRID, or the default where that is as good
    held_out: mean over queries of the metric, with each query left out of the choice in turn
    default, words, vectors: the same of the default weights, and of words or vectors alone
    queries:  how many were judged
    """

    weights: Weights
    held_out: float
    default: float
    words: float
    vectors: float
    queries: int

    def __str__(self) -> str:
        return (
            f"{self.weights}; MAP {self.held_out:.3f} with each of {self.queries} queries left out "
            f"of the choice, {self.default:.3f} by default, words alone {self.words:.3f}, vectors "
            f"alone {self.vectors:.3f}"
        )


def fit_weights(values: Mapping[Weights, Mapping[str, float]]) -> FittedWeights:
    """Choose the weights with the highest mean over queries.

    values: for the weights of GRID and the default ones, query id → metric; nan where a query has
            no relevant document

    The default weights stay where the choice does not help queries that took no part in it: if
    `held_out` is not above `default`. Raises ValueError without a query that has a value. Ours.
    """
    every = [*GRID, Weights()]
    table = np.array([[*values[weights].values()] for weights in every])  # [weights query]
    table = table[:, ~np.isnan(table).any(0)]
    queries = table.shape[1]
    if queries == 0:
        raise ValueError("no judged query has a relevant document")
    means = table.mean(1)
    grid = table[: len(GRID)]
    if queries == 1:
        held_out = float(means[-1])
    else:
        others = grid.sum(1, keepdims=True) - grid  # without each query
        held_out = float(grid[others.argmax(0), np.arange(queries)].mean())
    best = GRID[int(means[: len(GRID)].argmax())] if held_out > means[-1] else Weights()
    vectors, *_, words, default = means.tolist()
    return FittedWeights(best, held_out, default, words, vectors, queries)
