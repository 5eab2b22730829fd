"""How good a retriever is: against judgements, against exact search, and for its speed."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jdcv_core.evaluation.classification import GOOD
from jdcv_core.evaluation.ranking import corpus_ranking_per_query, ndcg_per_query, ranking
from jdcv_core.types import Qrels, Run


@dataclass(frozen=True)
class Point:
    """One setting of a retriever.

    name:       of the setting, such as "ivf, 8 probes"
    recall:     in [0, 1], such as the mean of `document_recall`
    per_second: queries a second, ≥ 0
    Raises ValueError for a number outside these, nan included.
    """

    name: str
    recall: int | float
    per_second: int | float

    def __post_init__(self) -> None:
        if not 0 <= self.recall <= 1:
            raise ValueError(f"the recall of {self.name} is {self.recall}, not in [0, 1]")
        if not 0 <= self.per_second < math.inf:
            raise ValueError(f"the speed of {self.name} is {self.per_second} queries/s")


@dataclass(frozen=True)
class Recommendation:
    """The setting to take; `str` says it in one sentence.

    reached: whether it has the least recall that was asked for
    among:   how many settings were compared
    """

    point: Point
    least_recall: int | float
    reached: bool
    among: int

    def __str__(self) -> str:
        p, least = self.point, f"{self.least_recall:g}"
        # Rounded down, so that no recall seems to reach what it misses.
        recall = math.floor(round(p.recall * 1000, 6)) / 1000
        has = f"{recall:.3f}, {p.per_second:,.0f} queries/s"
        if self.reached:
            why = f"of {self.among} compared, the fastest with a recall of at least {least}"
        else:
            why = f"of {self.among} compared, none has a recall of {least}, and it has the most"
        return f"Take {p.name}: {why} ({has})."


def retrieval_metrics(
    qrels: Qrels, run: Run, k: int = 10, relevant: int = GOOD
) -> dict[str, dict[str, float]]:
    """How well a run over a whole corpus ranks, query by query.

    "ndcg":   nDCG@k over all grades (`ndcg_per_query`)
    "map":    mean over the relevant documents of the precision at their rank, of the whole run
    "mrr":    1 / rank of the first relevant document, of the whole run
    "recall": share of the relevant documents among the first k
    "judged": share of judged documents among the first k, or among all that are ranked where they
              are fewer

    A document without a judgement counts as not relevant: where "judged" is below 1, the others are
    what is surely there. k may be deeper than a judged pool, which `ranking_per_query` refuses.

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


def pareto(points: Sequence[Point]) -> list[Point]:
    """The points worth choosing from: no other has more of the one and not less of the other.

    Returns them by recall ascending, so by speed descending; equal points stay together, by name.
    """
    front: list[Point] = []
    for point in sorted(points, key=lambda p: (-p.recall, -p.per_second, p.name)):
        best = front[-1] if front else None
        same = best and (best.recall, best.per_second) == (point.recall, point.per_second)
        if best is None or same or point.per_second > best.per_second:
            front.append(point)
    return sorted(front, key=lambda p: (p.recall, p.name))


def recommend(points: Sequence[Point], least_recall: int | float = 0.98) -> Recommendation:
    """The fastest point of at least so much recall, else the one of most recall.

    Of equally fast ones that of more recall, of equal recall the faster, then by name. `str` of it
    is one sentence. Raises ValueError without a point. The choice is on the front of `pareto`.

    >>> str(recommend([Point("flat", 1.0, 90.0), Point("ivf", 0.987, 400.0)], least_recall=0.9))
    'Take ivf: of 2 compared, the fastest with a recall of at least 0.9 (0.987, 400 queries/s).'
    """
    if not points:
        raise ValueError("there is no point to choose from")
    enough = [p for p in points if p.recall >= least_recall]
    if enough:
        point = min(enough, key=lambda p: (-p.per_second, -p.recall, p.name))
    else:
        point = min(points, key=lambda p: (-p.recall, -p.per_second, p.name))
    return Recommendation(point, least_recall, bool(enough), len(points))


def _ids(documents: Mapping[str, float] | Sequence[str]) -> list[str]:
    return ranking(documents) if isinstance(documents, Mapping) else list(documents)
