"""The tie rule of the toolkit for long lists: score descending, then id ascending."""

from collections.abc import Sequence

import numpy as np


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
    least = np.partition(scores, -k)[-k]
    places = np.flatnonzero(scores >= least)  # more than k where others tie with the last
    if isinstance(ids, np.ndarray):
        ties = ids[places]
    else:
        ties = np.array([ids[place] for place in places.tolist()])
    return places[np.lexsort((ties, -scores[places]))[:k]]
