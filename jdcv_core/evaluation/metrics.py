"""The registry of metrics: name, headings, meaning and direction of every metric of a table.

Tables, figures, model cards and the protocol look metrics up here; the formulas are in
`classification`, `ranking` and `calibration`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """A metric of a row.

    name:     key in records and configurations
    heading:  heading of its column in a table
    title:    title of an axis or in a list
    meaning:  phrase for the legend
    table:    table that shows it: "main", "ranking", or "retrieval" for searches over a corpus
    compared: whether `compare` can test its differences
    low, high: ends of its range
    lower_is_better: whether a smaller value is better
    needs_three: whether it is undefined for labels of two classes
    """

    name: str
    heading: str
    title: str
    meaning: str
    table: str = "main"
    compared: bool = False
    low: float = 0.0
    high: float = 1.0
    lower_is_better: bool = False
    needs_three: bool = False


METRICS = {
    metric.name: metric
    for metric in (
        Metric("weighted_f1", "wF1", "weighted F1", "F1 weighted by class frequency",
               compared=True),
        Metric("macro_f1", "mF1", "macro F1", "unweighted mean of the classes' F1", compared=True),
        Metric("f1_no", "F1 No", "F1 of No Fit", "F1 of No Fit"),
        Metric("f1_potential", "F1 Pot", "F1 of Potential Fit", "F1 of Potential Fit",
               needs_three=True),
        Metric("f1_good", "F1 Good", "F1 of Good Fit", "F1 of Good Fit"),
        Metric("qwk", "QWK", "quadratic weighted kappa", "quadratic weighted kappa", low=-1.0,
               compared=True),
        Metric("mae_classes", "MAE", "mean error in classes", "mean error in classes", high=2.0,
               lower_is_better=True, compared=True, needs_three=True),
        Metric("distant", "far", "share of distant errors",
               "share of pairs with No for Good or Good for No", lower_is_better=True,
               compared=True, needs_three=True),
        Metric("auc_good", "AUC", "AUC, Good vs rest", "Good Fit against the rest, over all pairs",
               compared=True),
        Metric("auc_within_cv", "AUC in CV", "AUC within a CV",
               "Good Fit against the rest among the pairs of one CV", compared=True),
        Metric("ndcg", "nDCG@10", "nDCG@10", "per JD, over its test pairs, grades 0 to 2",
               compared=True),
        Metric("map", "MAP", "MAP", "mean average precision per JD, Good Fit is relevant",
               "ranking"),
        Metric("mrr", "MRR", "MRR", "mean reciprocal rank of the first Good Fit", "ranking"),
        Metric("recall", "R@k", "recall@k", "share of a JD's Good Fit among its first k",
               "ranking"),
        Metric("precision", "P@k", "precision@k", "share of Good Fit among a JD's first k",
               "ranking"),
        Metric("judged", "judged@k", "judged@k",
               "share of judged CVs among a JD's first k: each ranks its test pairs", "ranking"),
        Metric("k", "k", "k", "as deep as the smallest judged pool, 5 at most", "ranking"),
        Metric("brier", "Brier", "Brier score",
               "mean squared error of the score to the target 0, .5 or 1", "ranking",
               lower_is_better=True),
        Metric("ece", "ECE", "expected calibration error",
               "expected calibration error, ten bins of equal mass", "ranking",
               lower_is_better=True),
    )
}  # fmt: skip
"""Name → metric, in the order of the tables."""

COMPARED = tuple(name for name, metric in METRICS.items() if metric.compared)
"""Metrics that `compare` can test."""
HEADLINE = ("weighted_f1", "auc_good", "ndcg")
"""Metrics of figures and short tables."""
CARD = ("weighted_f1", "macro_f1", "qwk", "auc_good", "ndcg")
"""Metrics of a model card."""
SEARCH = {
    "ndcg": "nDCG@10",
    "map": "MAP",
    "mrr": "MRR",
    "recall": "recall@10",
    "judged": "judged@10",
}
"""Name → heading of the metrics of a search over a corpus, where k is 10."""


def of_table(table: str) -> dict[str, Metric]:
    """Return the metrics of the main or the ranking table, in order.

    >>> list(of_table("ranking"))[:3]
    ['map', 'mrr', 'recall']
    """
    return {name: metric for name, metric in METRICS.items() if metric.table == table}


def meaning(name: str, classes: int) -> str:
    """Return the phrase for a metric, given the number of classes of the labels.

    >>> meaning("distant", 2)
    'n/a: needs three classes'
    """
    metric = METRICS[name]
    if classes < 3 and metric.needs_three:
        return "n/a: needs three classes"
    if classes < 3 and name == "qwk":
        return "with two classes: Cohen's kappa"
    return metric.meaning


def check_compared(names: Iterable[str]) -> None:
    """Raise ValueError for a name that `compare` cannot test."""
    unknown = sorted(set(names) - set(COMPARED))
    if unknown:
        raise ValueError(f"unknown metrics {unknown}; known: {', '.join(COMPARED)}")
