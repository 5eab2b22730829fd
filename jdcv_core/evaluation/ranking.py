"""Measure how well a system ranks the CVs of each JD.

This module defines the tie rule of the whole toolkit: score descending, then id ascending.
"""

import math
from collections.abc import Iterable, Mapping, Sequence

import ir_measures
from ir_measures import AP, RR, P, R, nDCG

from jdcv_core.errors import InputError
from jdcv_core.evaluation.classification import GOOD
from jdcv_core.types import Pair, Qrels, Run


def qrels_and_run(
    pairs: Sequence[Pair], scores: Iterable[float]
) -> tuple[dict[str, dict[str, int]], dict[str, dict[str, float]]]:
    """Make qrels and a run from scored pairs: the query is the JD, the documents are its CVs.

    pairs:  labelled pairs; the label is the grade
    scores: one float per pair, higher = better fit
    Returns (qrels, run), both JD id → CV id → value.
    Raises ValueError if a pair occurs twice or the lengths differ.
    """
    qrels: dict[str, dict[str, int]] = {}
    run: dict[str, dict[str, float]] = {}
    for pair, score in zip(pairs, scores, strict=True):
        if pair.cv in qrels.setdefault(pair.jd, {}):
            raise ValueError(f"the pair {pair.jd} {pair.cv} occurs twice")
        qrels[pair.jd][pair.cv] = int(pair.label)
        run.setdefault(pair.jd, {})[pair.cv] = float(score)
    return qrels, run


def ranking(scores: Mapping[str, float]) -> list[str]:
    """Sort document ids, best first: score descending, then id ascending.

    Raises ValueError for a score that is nan, which cannot be ordered.

    >>> ranking({"cv:b": 0.5, "cv:a": 0.5, "cv:c": 0.9})
    ['cv:c', 'cv:a', 'cv:b']
    """
    for document, score in scores.items():
        if math.isnan(score):
            raise ValueError(f"the score of {document} is nan")
    return sorted(scores, key=lambda document: (-scores[document], document))


def ndcg_per_query(qrels: Qrels, run: Run, k: int = 10) -> dict[str, float]:
    """Compute nDCG@k of each query, by `ir-measures`.

    nDCG@k is DCG@k = Σ over ranks r ≤ k of grade / log2(r + 1), divided by the DCG@k of the best
    order. The gain is linear in the grade, as in trec_eval (not 2^grade - 1). A document without a
    judgement has grade 0. trec_eval breaks ties by id *descending* and compares in float32, so it
    gets ranks by our tie rule instead of scores.

    qrels: query id → document id → grade ≥ 0
    run:   query id → document id → score; a judged query without an entry gets 0
    k:     number of ranks that count, ≥ 1
    Returns query id → value in [0, 1], in order of id, for each query of `qrels`. A query without
    a relevant document (grade > 0) has no best order: it gets nan, and `mean_over_queries` leaves
    it out, whereas trec_eval counts it as 0.
    Raises ValueError for k < 1 and for a score that is nan.
    Source: Järvelin and Kekäläinen 2002, with trec_eval's gain.

    >>> ndcg_per_query({"jd:1": {"cv:1": 2, "cv:2": 1}}, {"jd:1": {"cv:1": 0.2, "cv:2": 0.9}})
    {'jd:1': 0.8597186998521972}
    """
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    judged, places = _plain(qrels), _places(qrels, run)
    found = {m.query_id: m.value for m in ir_measures.iter_calc([nDCG @ k], judged, places)}
    return {
        query: float(found.get(query, 0.0))
        if any(g > 0 for g in qrels[query].values())
        else math.nan
        for query in sorted(qrels)
    }


def ranking_per_query(
    qrels: Qrels, run: Run, k: int, relevant: int = GOOD
) -> dict[str, dict[str, float]]:
    """Compute MAP, MRR, recall@k and precision@k of each query, by `ir-measures`.

    "map":       mean over the relevant documents of the precision at their rank (0 if not ranked)
    "mrr":       1 / rank of the first relevant document
    "recall":    number of relevant documents among the first k / number of relevant documents
    "precision": number of relevant documents among the first k / k
    "judged":    share of judged documents among the first k, or among all ranked documents if they
                 are fewer; 0 if none is ranked. The other measures count a document without a
                 judgement as not relevant, so they are lower bounds if "judged" is below 1

    qrels, run: as for `ndcg_per_query`, with its tie rule
    k:          number of ranks that count, at most `deepest_k(qrels)`. If a query had fewer than k
                judged documents, the largest possible P@k would be below 1 and recall@k would be 1
                for every order. nDCG@k does not need this limit: it is relative to the best order
                of the same documents
    relevant:   lowest grade that counts as relevant
    Returns measure → query id → value in [0, 1]; nan for a query without a relevant document, which
    `mean_over_queries` leaves out.
    Raises ValueError for k < 1 and for a score that is nan, and InputError if k is above its limit.
    """
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    if k > (deepest := deepest_k(qrels)):
        query = min(qrels, key=lambda q: (len(qrels[q]), q))
        what = f"only {deepest} documents are judged"
        raise InputError(f"ranking at k={k}, query {query}", what, f"take k={deepest} or less")
    return corpus_ranking_per_query(qrels, run, k, relevant)


def corpus_ranking_per_query(
    qrels: Qrels, run: Run, k: int, relevant: int = GOOD
) -> dict[str, dict[str, float]]:
    """Compute `ranking_per_query` for a run over a whole corpus, with any k ≥ 1.

    Few documents of a corpus are judged, so k is not limited by their number. A document without a
    judgement counts as not relevant, and "judged" is the share of the first k that have one. The
    measures equal those of `ranking_per_query` for every k that it accepts.
    Raises ValueError for k < 1 and for a score that is nan.
    """
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    measures = {
        "map": AP(rel=relevant),
        "mrr": RR(rel=relevant),
        "recall": R(rel=relevant) @ k,
        "precision": P(rel=relevant) @ k,
    }
    names = {measure: name for name, measure in measures.items()}
    judged, places = _plain(qrels), _places(qrels, run)
    found = {
        name: {
            query: 0.0 if any(g >= relevant for g in qrels[query].values()) else math.nan
            for query in sorted(qrels)
        }
        for name in measures
    }
    for m in ir_measures.iter_calc(list(measures.values()), judged, places):
        values = found[names[m.measure]]
        if not math.isnan(values[m.query_id]):
            values[m.query_id] = float(m.value)
    found["judged"] = {
        query: _judged(qrels[query], run.get(query, {}), k) for query in sorted(qrels)
    }
    return found


def deepest_k(qrels: Qrels) -> int:
    """Return the smallest number of judged documents of any query, or 0 without queries.

    >>> deepest_k({"jd:1": {"cv:1": 2, "cv:2": 1}, "jd:2": {"cv:1": 0}})
    1
    """
    return min((len(grades) for grades in qrels.values()), default=0)


def mean_over_queries(per_query: Mapping[str, float]) -> float:
    """Average over the queries that have a value; nan if none has.

    >>> mean_over_queries({"jd:1": 0.5, "jd:2": float("nan"), "jd:3": 1.0})
    0.75
    """
    values = [value for value in per_query.values() if not math.isnan(value)]
    return sum(values) / len(values) if values else math.nan


def _judged(grades: Mapping[str, int], scores: Mapping[str, float], k: int) -> float:
    first = ranking(scores)[:k]
    return sum(document in grades for document in first) / max(1, len(first))


def _plain(qrels: Qrels) -> dict[str, dict[str, int]]:
    return {query: dict(grades) for query, grades in qrels.items()}


def _places(qrels: Qrels, run: Run) -> dict[str, dict[str, float]]:
    """Replace the scores of a run by negated ranks, computed with our tie rule."""
    return {
        query: {document: -float(at) for at, document in enumerate(ranking(run.get(query, {})))}
        for query in qrels
    }
