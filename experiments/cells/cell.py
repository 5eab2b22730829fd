"""A cell is one row of the table under one split and seed, with its scores and figures."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from experiments import trackers
from jdcv_core.data.splits import Split
from jdcv_core.evaluation.calibration import brier, ece
from jdcv_core.evaluation.classification import (
    apply_thresholds,
    classes_of,
    classification_metrics,
    tune_thresholds,
    within_group_auc,
)
from jdcv_core.evaluation.ranking import (
    deepest_k,
    mean_over_queries,
    ndcg_per_query,
    qrels_and_run,
    ranking_per_query,
)
from jdcv_core.types import Dataset

DEPTH = 5
"""Largest k of P@k and recall@k; k is smaller if a JD has fewer judged CVs."""


@dataclass
class Cell:
    """A cell with scores, before its figures are computed.

    kind:    "variant", "falsifier", "floor" or "ceiling"
    scores:  float [pair], for all pairs of the data; nan outside validation and test
    cuts:    cuts between classes; None if they are not tuned yet
    facts:   facts about the training, for the record
    course:  course of the training, see `Trained`
    examples: (title, [JD chunk, CV chunk]), attention weights of a few pairs if the row has any
    """

    name: str
    kind: str
    scores: np.ndarray
    cuts: tuple[float, float] | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    course: list[dict[str, float]] = field(default_factory=list)
    examples: list[tuple[str, np.ndarray]] = field(default_factory=list)


def slug(name: str, kind: str, seed: int) -> str:
    """Return a file name for a cell."""
    return trackers.slug(title(name, kind, seed))


def title(name: str, kind: str, seed: int) -> str:
    """Return the title of a cell; kind: kind of its split."""
    return f"{name} · split {kind} · seed {seed}"


def measure(
    cell: Cell, dataset: Dataset, split: Split, seed: int
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Compute the figures of a cell on the test pairs.

    Returns the line of the record and the columns of predictions.parquet.
    """
    validation, test = list(split.validation), list(split.test)
    labels = np.array([p.label for p in dataset.pairs])
    classes = classes_of(labels)
    cuts = cell.cuts or tune_thresholds(cell.scores[validation], labels[validation], classes)
    scores = cell.scores[test]
    predicted = apply_thresholds(scores, cuts)
    pairs = [dataset.pairs[i] for i in test]
    jds, cvs = (np.array([getattr(p, side) for p in pairs]) for side in ("jd", "cv"))
    ndcg = ndcg_per_query(*qrels_and_run(pairs, scores), k=10)
    line = {
        "variant": cell.name,
        "kind": cell.kind,
        "split": split.kind,
        "seed": seed,
        "metrics": {
            **classification_metrics(labels[test], predicted, scores, classes),
            "auc_within_cv": within_group_auc(labels[test], scores, cvs),
            "ndcg": mean_over_queries(ndcg),
            **_ranking(pairs, scores),
            "brier": brier(labels[test], scores),
            "ece": ece(labels[test], scores),
        },
        "ndcg_per_jd": ndcg,
        "thresholds": list(cuts),
        **cell.facts,
        "course": cell.course,
    }
    columns = {
        "variant": np.full(len(test), cell.name),
        "split": np.full(len(test), split.kind),
        "seed": np.full(len(test), seed),
        "jd": jds,
        "cv": cvs,
        "label": labels[test],
        "predicted": predicted,
        "score": scores,
    }
    return line, columns


def joined(columns: Iterable[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Concatenate the columns of several cells."""
    each = list(columns)
    return {name: np.concatenate([c[name] for c in each]) for name in each[0]}


def _ranking(pairs: list[Any], scores: np.ndarray) -> dict[str, float]:
    """Compute MAP, MRR, recall@k and P@k; k is DEPTH or the smallest number of judged CVs."""
    qrels, run = qrels_and_run(pairs, scores)
    k = min(DEPTH, deepest_k(qrels))
    found = ranking_per_query(qrels, run, k=k)
    return {name: mean_over_queries(values) for name, values in found.items()} | {"k": float(k)}
