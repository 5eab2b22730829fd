"""A cell: one row of the table under one seed. Its scores, its figures, and its file on disk."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from experiments import trackers
from jdcv_core.data.splits import Split
from jdcv_core.evaluation.classification import (
    apply_thresholds,
    classification_metrics,
    tune_thresholds,
)
from jdcv_core.evaluation.ranking import mean_over_queries, ndcg_per_query, qrels_and_run
from jdcv_core.types import Dataset


@dataclass
class Cell:
    """Before it is measured.

    kind:    "variant", "floor" or "ceiling"
    scores:  float [pair], of all pairs of the data; nan where neither validation nor test
    cuts:    None where they are still to be tuned
    facts:   of the training, for the record
    course:  of the training, see `Trained`
    examples: (title, [JD chunk, CV chunk]) attention weights of a few pairs, where there are any
    """

    name: str
    kind: str
    scores: np.ndarray
    cuts: tuple[float, float] | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    course: list[dict[str, float]] = field(default_factory=list)
    examples: list[tuple[str, np.ndarray]] = field(default_factory=list)


def slug(name: str, seed: int) -> str:
    """A file name for a cell."""
    return trackers.slug(title(name, seed))


def title(name: str, seed: int) -> str:
    """What a cell is called."""
    return f"{name} · seed {seed}"


def measure(
    cell: Cell, dataset: Dataset, split: Split, seed: int, predictions: dict[str, list[Any]]
) -> dict[str, Any]:
    """The line of the record: the figures on the test pairs. Their rows go to `predictions`."""
    validation, test = list(split.validation), list(split.test)
    labels = np.array([p.label for p in dataset.pairs])
    cuts = cell.cuts or tune_thresholds(cell.scores[validation], labels[validation])
    scores = cell.scores[test]
    predicted = apply_thresholds(scores, cuts)
    pairs = [dataset.pairs[i] for i in test]
    ndcg = ndcg_per_query(*qrels_and_run(pairs, scores), k=10)
    for pair, score, guess in zip(pairs, scores.tolist(), predicted.tolist(), strict=True):
        row = {
            "variant": cell.name,
            "seed": seed,
            "jd": pair.jd,
            "cv": pair.cv,
            "label": pair.label,
            "predicted": guess,
            "score": score,
        }
        for column, value in row.items():
            predictions.setdefault(column, []).append(value)
    return {
        "variant": cell.name,
        "kind": cell.kind,
        "seed": seed,
        "metrics": {
            **classification_metrics(labels[test], predicted, scores),
            "ndcg": mean_over_queries(ndcg),
        },
        "ndcg_per_jd": ndcg,
        "thresholds": list(cuts),
        **cell.facts,
        "course": cell.course,
    }


def keep_cell(folder: Path, cell: Cell, seed: int) -> None:
    """Write what `measure` cannot make again, so that an interrupted experiment can go on."""
    path = _file(folder, cell.name, seed)
    path.parent.mkdir(exist_ok=True)
    arrays = {f"example {title}": weights for title, weights in cell.examples}
    with (partial := path.with_suffix(".tmp")).open("wb") as file:
        np.savez(file, allow_pickle=False, scores=cell.scores, **arrays)  # type: ignore[arg-type]
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def find_cell(folder: Path, line: dict[str, Any]) -> Cell:
    """The cell of a line of the record."""
    with np.load(_file(folder, line["variant"], line["seed"]), allow_pickle=False) as arrays:
        scores = arrays["scores"]
        examples = [
            (key.removeprefix("example "), arrays[key])
            for key in arrays.files
            if key.startswith("example ")
        ]
    low, high = line["thresholds"]
    return Cell(line["variant"], line["kind"], scores, (low, high), examples=examples)


def _file(folder: Path, name: str, seed: int) -> Path:
    return folder / "cells" / f"{slug(name, seed)}.npz"
