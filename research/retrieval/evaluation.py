"""How well a retriever ranks a whole corpus: against judgements, and against exact search."""

import math
from collections.abc import Mapping, Sequence

from jdcv_core.evaluation.classification import GOOD
from jdcv_core.evaluation.ranking import corpus_ranking_per_query, ndcg_per_query, ranking
from jdcv_core.types import Qrels, Run


def retrieval_metrics(
    qrels: Qrels, run: Run, k: int = 10, relevant: int = GOOD
) -> dict[str, dict[str, float]]:
    """How well a run over a whole corpus ranks, query by query.

    "ndcg":   nDCG@k over all grades (`ndcg_per_query`)
    "map":    mean over the relevant documents of the precision at their rank, of the whole run
    "mrr":    1 / rank of the first relevant document, of the whole run
    "recall": share of the relevant documents among the first k
    "judged": share of judged documents among the first k, or among all ranked documents if they
              are fewer

    A document without a judgement counts as not relevant, so where "judged" is below 1 the other
    figures count only what is known to be relevant. k may be larger than the number of judged
    documents, which `ranking_per_query` refuses.

    qrels:    query id → document id → grade ≥ 0
    run:      query id → document id → score; a judged query that is missing here has zeros
    k:        ranks that count, ≥ 1
    relevant: the lowest grade that counts for map, mrr and recall; 1 for yes-or-no judgements
    Returns metric → query id of `qrels`, in order → value in [0, 1]; nan for a query without a
    relevant document (for nDCG: of grade 0 only), which `mean_over_queries` leaves out.
    Raises ValueError for k < 1 or a score that is nan.
    """
    found = corpus_ranking_per_query(qrels, run, k, relevant)
    others = {name: found[name] for name in ("map", "mrr", "recall", "judged")}
    return {"ndcg": ndcg_per_query(qrels, run, k), **others}


def tool_means(found: Mapping[str, Mapping[str, float]], run: Run) -> dict[str, dict[str, float]]:
    """The figures of a run as the usual tools average them, of the values per query.

    found: metric → query id of the judgements → value, from `retrieval_metrics`
    run:   query id → document id → score; a query without a document is not in its file
    Returns tool → metric → mean, where a query without a relevant document (nan) counts as 0:
    "trec_eval" averages over the judged queries that are in the run (pytrec_eval gives the same
    queries), and "ir_measures" over all judged queries. trec_eval has no "judged".

    >>> found = {"ndcg": {"j1": 1.0, "j2": float("nan"), "j3": 0.0}}
    >>> tool_means(found, {"j1": {"a": 1.0}, "j2": {"a": 1.0}})
    {'trec_eval': {'ndcg': 0.5}, 'ir_measures': {'ndcg': 0.3333333333333333}}
    """
    means: dict[str, dict[str, float]] = {"trec_eval": {}, "ir_measures": {}}
    for metric, values in found.items():
        own = {query: 0.0 if math.isnan(value) else value for query, value in values.items()}
        asked = [value for query, value in own.items() if run.get(query)]
        if metric != "judged":
            means["trec_eval"][metric] = sum(asked) / len(asked) if asked else math.nan
        means["ir_measures"][metric] = sum(own.values()) / len(own) if own else math.nan
    return means


def document_recall(
    found: Run | Mapping[str, Sequence[str]], exact: Run | Mapping[str, Sequence[str]], k: int
) -> dict[str, float]:
    """The share of exact search's k best documents that were found, query by query.

    found: query id → the documents that were found, as scores or as a list of ids; all of them
           count, so cut them to k for recall k@k. A query that is missing here found nothing
    exact: query id → the documents of exact search, as scores (then the k best by the tie rule
           count) or as a list of ids, best first. Of fewer than k, all
    k:     ≥ 1
    Returns query id of `exact`, in order → value in [0, 1]; nan where exact search has none.
    Raises ValueError for k < 1, or an id twice in a list of `exact`.

    >>> document_recall({"jd:1": ["b", "c"]}, {"jd:1": {"a": 0.9, "b": 0.8, "c": 0.1}}, k=2)
    {'jd:1': 0.5}
    """
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    shares = {}
    for query in sorted(exact):
        best = _ids(exact[query])[:k]
        if len(set(best)) < len(best):
            raise ValueError(f"exact search gives query {query} a document twice")
        there = set(found.get(query, ()))
        shares[query] = sum(i in there for i in best) / len(best) if best else math.nan
    return shares


def _ids(documents: Mapping[str, float] | Sequence[str]) -> list[str]:
    return ranking(documents) if isinstance(documents, Mapping) else list(documents)
