"""The tie rule of the toolkit for long lists: score descending, then id ascending."""

from collections.abc import Sequence

import numpy as np

SAMPLED = 64
"""One score in so many is looked at first."""


def k_best(scores: np.ndarray, ids: Sequence[str] | np.ndarray, k: int) -> np.ndarray:
    """The places of the k highest scores, best first; equal scores are in the order of ids.

    scores: float [place], none nan
    ids:    of each place, texts or numbers
    Returns int64 [k], or all places if there are fewer. Only places that may be among the k are
    sorted. Equals `evaluation.ranking.ranking` cut to k.

    >>> k_best(np.array([0.5, 0.9, 0.5]), ["b", "c", "a"], 2).tolist()
    [1, 2]
    """
    k = min(k, len(scores))
    if k < 1:
        return np.empty(0, np.int64)
    places = _above_most(scores, k)
    high = scores[places]
    least = np.partition(high, -k)[-k]
    places = places[high >= least]  # more than k where others tie with the last
    if isinstance(ids, np.ndarray):
        ties = ids[places]
    else:
        ties = np.array([ids[place] for place in places.tolist()])
    return places[np.lexsort((ties, -scores[places]))[:k]]


def distinct_values(values: np.ndarray) -> np.ndarray:
    """The distinct values, ascending. `np.unique` of NumPy 2.4 hashes them, which takes 15 to 30
    times as long.

    >>> distinct_values(np.array([3, 1, 3])).tolist()
    [1, 3]
    """
    values = np.sort(values)
    first = np.ones(len(values), bool)
    np.not_equal(values[1:], values[:-1], out=first[1:])
    return values[first]


def _above_most(scores: np.ndarray, k: int) -> np.ndarray:
    """Places that include those of the k highest scores, ascending. Of a long list, a sample tells
    which scores cannot be among them, so that few are partitioned."""
    sample = scores[::SAMPLED]
    more = 3 * (k // SAMPLED + 4)
    if len(sample) > 4 * more:
        found = np.flatnonzero(scores >= np.partition(sample, -more)[-more])
        if len(found) >= k:
            return found
    return np.arange(len(scores))
