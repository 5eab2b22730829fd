"""Compute metrics of predictions with resampled JDs, for the bootstrap and the permutation test.

Predictions are a mapping from column name to an array [row], with the columns of COLUMNS. A row is
one test pair under one seed, as in `predictions.parquet`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from jdcv_core.evaluation.classification import (
    GOOD,
    as_labels,
    classes_of,
    confusion_metrics,
)
from jdcv_core.evaluation.ranking import ndcg_per_query
from jdcv_core.types import LABELS

COLUMNS = ("seed", "jd", "cv", "label", "predicted", "score")
ON_CLASSES = ("weighted_f1", "macro_f1", "qwk", "mae_classes", "distant")
"""Metrics that are computed from the confusion matrix."""

Predictions = Mapping[str, ArrayLike]
"""Column name → values [row], with the columns of COLUMNS."""
Columns = dict[str, np.ndarray]


def sorted_columns(table: Predictions) -> Columns:
    """Return the columns as arrays, with the rows sorted by (seed, jd, cv).

    Raises ValueError for a missing column, columns of unequal length or without rows, an unknown
    label, a score that is nan, and a (seed, jd, cv) that occurs twice.
    """
    missing = [name for name in COLUMNS if name not in table]
    if missing:
        raise ValueError(f"the table lacks the columns {missing}; it has {sorted(table)}")
    columns = {name: np.asarray(table[name]) for name in COLUMNS}
    if len({len(column) for column in columns.values()}) != 1 or len(columns["seed"]) == 0:
        lengths = {name: len(column) for name, column in columns.items()}
        raise ValueError(f"the columns must have the same length above 0, got {lengths}")
    if np.isnan(columns["score"]).any():
        raise ValueError("a score is nan")
    columns |= {name: as_labels(columns[name]) for name in ("label", "predicted")}
    order = np.lexsort([columns["cv"], columns["jd"], columns["seed"]])
    columns = {name: column[order] for name, column in columns.items()}
    same = [columns[name][1:] == columns[name][:-1] for name in ("seed", "jd", "cv")]
    if np.logical_and.reduce(same).any():
        raise ValueError("a (seed, jd, cv) row occurs twice")
    return columns


def check_same_rows(a: Columns, b: Columns) -> None:
    """Raise ValueError unless both have the same pairs under the same seeds."""
    for name in ("seed", "jd", "cv", "label"):
        if not np.array_equal(a[name], b[name]):
            raise ValueError(f"the two variants must have the same rows; their '{name}' differ")


def draw_counts(jds: int, replicates: int, random_seed: int) -> np.ndarray:
    """Draw as many JDs as there are, with replacement; return the count of each, [replicate jd]."""
    rng = np.random.default_rng(random_seed)
    return rng.multinomial(jds, np.full(jds, 1 / jds), size=replicates)


def codes(rows: Columns) -> tuple[np.ndarray, np.ndarray, tuple[int, int]]:
    """Number the seeds and JDs; return each row's numbers, [row] and [row], and the two counts."""
    seeds, s = np.unique(rows["seed"], return_inverse=True)
    jds, j = np.unique(rows["jd"], return_inverse=True)
    return s, j, (len(seeds), len(jds))


def figures(
    rows: Columns, metrics: Sequence[str], counts: np.ndarray, k: int
) -> dict[str, np.ndarray]:
    """Compute metrics on each seed where JD j counts counts[replicate, j] times, [replicate seed].

    A JD contributes all its pairs, in every seed that tested it. A value is nan if the metric is
    undefined (no pair; for auc_good no comparison; for ndcg no relevant document; for some metrics
    two classes). The classes are those of all rows together.

    rows:   from `sorted_columns`
    counts: [replicate jd], with the JDs in sorted order
    """
    found = {}
    on_classes = [metric for metric in metrics if metric in ON_CLASSES]
    if on_classes:
        confusion = np.tensordot(counts, confusion_cells(rows), (1, 1))  # [replicate seed 3 3]
        some = confusion.sum((-2, -1)) > 0
        values = confusion_metrics(confusion, classes_of(rows["label"]))
        found = {metric: np.where(some, values[metric], np.nan) for metric in on_classes}
    with np.errstate(invalid="ignore"):  # 0 / 0 gives nan, which means undefined
        if "ndcg" in metrics:
            cells = ndcg_cells(rows, k)
            defined = ~np.isnan(cells)
            found["ndcg"] = counts @ np.where(defined, cells, 0).T / (counts @ defined.T)
        for metric in ("auc_good", "auc_within_cv"):
            if metric in metrics:
                cells_of = pooled_cells if metric == "auc_good" else within_cv_cells
                won, compared = (_bilinear(counts, c) for c in cells_of(rows))
                found[metric] = won / compared
    return {metric: found[metric] for metric in metrics}


def mean_over_seeds(values: np.ndarray) -> np.ndarray:
    """Average [replicate seed] over the seeds that have a value: [replicate]."""
    defined = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return np.where(defined, values, 0).sum(1) / defined.sum(1)


def confusion_cells(rows: Columns) -> np.ndarray:
    """Count pairs by seed, JD, label and prediction: [seed jd label predicted]."""
    s, j, shape = codes(rows)
    cells = np.zeros((*shape, len(LABELS), len(LABELS)))
    np.add.at(cells, (s, j, rows["label"], rows["predicted"]), 1)
    return cells


def ndcg_cells(rows: Columns, k: int) -> np.ndarray:
    """Compute nDCG@k [seed jd]; nan without a relevant document."""
    s, j, shape = codes(rows)
    qrels: dict[str, dict[str, int]] = {}
    run: dict[str, dict[str, float]] = {}
    columns = [rows[name].tolist() for name in ("cv", "label", "score")]
    for seed, jd, cv, label, score in zip(s.tolist(), j.tolist(), *columns, strict=True):
        query = f"{seed} {jd}"  # each (seed, JD) is a separate query
        qrels.setdefault(query, {})[str(cv)] = label
        run.setdefault(query, {})[str(cv)] = score
    cells = np.full(shape, np.nan)
    for query, value in ndcg_per_query(qrels, run, k).items():
        seed, jd = query.split()
        cells[int(seed), int(jd)] = value
    return cells


def pooled_cells(rows: Columns) -> tuple[np.ndarray, np.ndarray]:
    """Compare the Good Fits of one JD with the other labels of another JD, for all pairs of JDs.

    Returns the number of comparisons that the Good Fit wins (a tie counts half) and the number of
    comparisons, each [seed jd jd].
    """
    s, j, shape = codes(rows)
    wins = np.zeros((*shape, shape[1]))
    good = rows["label"] == GOOD
    kinds = []
    for kind in (good, ~good):
        count = np.zeros(shape)
        np.add.at(count, (s[kind], j[kind]), 1)
        kinds.append(count)
    for seed in range(shape[0]):
        mine = (s == seed) & good
        for jd in np.unique(j[(s == seed) & ~good]):
            others = rows["score"][(s == seed) & ~good & (j == jd)]
            np.add.at(wins[seed, :, jd], j[mine], wins_against(rows["score"][mine], others))
    return wins, np.einsum("sg,so->sgo", *kinds)


def within_cv_cells(rows: Columns) -> tuple[np.ndarray, np.ndarray]:
    """Compute `pooled_cells` for comparisons between pairs of the same CV only."""
    s, j, shape = codes(rows)
    winner, other = same_cv_comparisons(rows)
    cells = np.zeros((2, *shape, shape[1]))
    won = wins_of(rows["score"][winner], rows["score"][other])
    at = s[winner], j[winner], j[other]
    np.add.at(cells[0], at, won)
    np.add.at(cells[1], at, 1)
    return cells[0], cells[1]


def same_cv_comparisons(rows: Columns) -> tuple[np.ndarray, np.ndarray]:
    """List each (Good Fit, other label) of the same seed and CV as row numbers, [comparison]."""
    s, _, _ = codes(rows)
    cvs, cv = np.unique(rows["cv"], return_inverse=True)
    group = s * len(cvs) + cv
    good = rows["label"] == GOOD
    others = np.flatnonzero(~good)
    others = others[np.argsort(group[others], kind="stable")]
    goods = np.flatnonzero(good)
    first = np.searchsorted(group[others], group[goods], "left")
    many = np.searchsorted(group[others], group[goods], "right") - first
    step = np.arange(many.sum()) - np.repeat(many.cumsum() - many, many)
    return np.repeat(goods, many), others[np.repeat(first, many) + step]


def wins_of(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return 1 where a is above b, 0.5 where they are equal, otherwise 0."""
    return (a > b) + 0.5 * (a == b)


def wins_against(scores: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Count how many of `others` each score exceeds, where ties count half, [score]."""
    others = np.sort(others)
    return (np.searchsorted(others, scores, "left") + np.searchsorted(others, scores, "right")) / 2


def _bilinear(counts: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """Compute Σ over JDs a, b of counts_a cells[seed, a, b] counts_b, [replicate seed]."""
    return np.stack([((counts @ c) * counts).sum(1) for c in cells.astype(float)], axis=1)
