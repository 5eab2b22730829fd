"""Fusion of several runs into one by the ranks of their documents."""

import math
from collections.abc import Sequence

from jdcv_core.evaluation.ranking import ranking
from jdcv_core.types import Run


def rrf(runs: Sequence[Run], k0: int | float = 60) -> dict[str, dict[str, float]]:
    """Reciprocal rank fusion: merges several runs into one by ranks alone.

        score(d) = Σ over runs of 1 / (k0 + rank of d), rank 1 for the best

    A document that a run does not rank gets nothing from it. Ranks follow the tie rule (`ranking`);
    the order of the runs has no effect.

    runs: query id → document id → score, of any scale
    k0:   ≥ 0; the larger, the less the first ranks differ from later ones
    Returns a run over all queries and documents of any of them, best first.
    Raises ValueError for k0 < 0 or a score that is nan.
    Source: Cormack, Clarke and Büttcher 2009, with their 60.

    >>> rrf([{"jd:1": {"a": 9.0, "b": 8.0}}, {"jd:1": {"b": 0.2}}], k0=0)
    {'jd:1': {'b': 1.5, 'a': 1.0}}
    """
    if not k0 >= 0:
        raise ValueError(f"k0 must be at least 0, got {k0}")
    parts: dict[str, dict[str, list[float]]] = {}
    for run in runs:
        for query, own in run.items():
            fused = parts.setdefault(query, {})
            for rank, document in enumerate(ranking(own), start=1):
                fused.setdefault(document, []).append(1 / (k0 + rank))
    result = {}
    for query, fused in parts.items():
        scores = {document: math.fsum(part) for document, part in fused.items()}
        result[query] = {document: scores[document] for document in ranking(scores)}
    return result
