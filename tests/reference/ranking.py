"""Slow nDCG from the definition. It shares no code with `jdcv_core` or `ir-measures`."""

import math


def before(a, b):
    """Return whether the (id, score) a is ranked before b: score descending, then id ascending."""
    return a[1] > b[1] or (a[1] == b[1] and a[0] < b[0])


def place(document, scores):
    """Return the rank: 1 + the number of documents ranked before it."""
    me = (document, scores[document])
    return 1 + sum(before(other, me) for other in scores.items())


def ndcg(grades, scores, k):
    """Compute nDCG@k; it is None if no document is relevant."""
    gained = 0.0
    for document in scores:
        rank = place(document, scores)
        if rank <= k:
            gained += grades.get(document, 0) / math.log2(rank + 1)
    best = 0.0
    for rank, grade in enumerate(sorted(grades.values(), reverse=True), start=1):
        if rank <= k:
            best += grade / math.log2(rank + 1)
    return gained / best if best else None
