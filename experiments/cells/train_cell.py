"""Make cells from stored vectors: floors, and rows whose encoder is frozen.

The work runs in this process or in several worker processes with one thread each.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from experiments.cells.cell import Cell
from experiments.cells.cell_store import CellStore
from experiments.cells.explain import (
    attention_examples,
    faithfulness_of,
    requirements_example,
    timeline_example,
)
from experiments.cells.row import Row, on_vectors, reads_words, train_terms, train_whitening
from jdcv_core import floors
from jdcv_core.data.splits import Split
from jdcv_core.encoding.term_weights import Tokens
from jdcv_core.scoring import count_parameters
from jdcv_core.training.loop import score_pairs, train
from jdcv_core.training.settings import TrainingSettings
from jdcv_core.training.trainable import Trainable
from jdcv_core.types import Dataset

FLOOR_NAMES = {
    "majority": "majority class",
    "random": "random",
    "tfidf_cosine": "TF-IDF cosine",
    "tfidf_logistic": "TF-IDF + logistic regression",
    "bm25": "BM25",
    "cv_probe": "CV-only probe",
    "jd_probe": "JD-only probe",
}


@dataclass(frozen=True, eq=False)
class Task:
    """A cell to be made.

    row:     the row; None for a floor, which `floor` names
    vectors: key of its chunk vectors in `Bench.vectors`
    key:     key under which the cell is stored
    """

    name: str
    kind: str
    split: str
    seed: int
    row: Row | None
    vectors: str
    key: str
    floor: str = ""

    @property
    def place(self) -> tuple[str, str, int]:
        """Row name, split and seed, which identify a task within an experiment."""
        return self.name, self.split, self.seed


@dataclass(frozen=True)
class Bench:
    """The data that tasks need; it is sent to the worker processes.

    splits:      (kind, seed) → split
    vectors:     hash → document id → chunk vectors, not whitened
    months:      the same hash → document id → months of chunks, if documents were cut by experience
    tokens:      the same hash → document id → token ids of chunks, if a scorer reads words
    attribution: kind of split on which the faithfulness of attributions is measured; "" for none
    store:       folder of the stored cells
    """

    dataset: Dataset
    splits: Mapping[tuple[str, int], Split]
    vectors: Mapping[str, Mapping[str, np.ndarray]]
    device: str
    attribution: str
    store: Path
    months: Mapping[str, Mapping[str, np.ndarray]] = field(default_factory=dict)
    tokens: Mapping[str, Mapping[str, Tokens]] = field(default_factory=dict)

    def whitened(self, task: Task) -> dict[str, np.ndarray]:
        """Return the vectors of a task, whitened by its training documents."""
        vectors = self.vectors[task.vectors]
        split = self.splits[task.split, task.seed]
        return train_whitening(self.dataset, vectors, split)(vectors)

    def words(self, task: Task) -> dict[str, np.ndarray]:
        """The words of a task's chunks, weighted by its training documents."""
        tokens, split = self.tokens[task.vectors], self.splits[task.split, task.seed]
        return train_terms(self.dataset, tokens, split)(tokens)


def make_cell(bench: Bench, task: Task, **hooks: Callable[..., None]) -> tuple[Cell, Any]:
    """Make and store the cell of a task; return it and its trained model (None for a floor).

    hooks: `start`, `report` and `advance` of `training.loop.train`
    """
    if task.row is None:
        cell, model = floor_cell(bench, task), None
    else:
        cell, model = _train(bench, task, task.row, hooks)
    CellStore(bench.store).put(task.key, cell)
    return cell, model


def floor_cell(bench: Bench, task: Task) -> Cell:
    """Make the cell of a floor; the probes read the whitened vectors of the untrained encoder."""
    dataset, train = bench.dataset, bench.splits[task.split, task.seed].train
    pairs, documents = dataset.pairs, dataset.documents
    if task.floor == "majority":
        return Cell(task.name, "floor", floors.majority(pairs, train), cuts=(0.25, 0.75))
    if task.floor == "random":
        return Cell(task.name, "floor", floors.random_scores(pairs, task.seed))
    if task.floor in ("cv_probe", "jd_probe"):
        side: Any = task.floor[:2]
        scores = floors.one_side_probe(pairs, train, bench.whitened(task), side)
        return Cell(task.name, "floor", scores)
    return Cell(task.name, "floor", getattr(floors, task.floor)(pairs, train, documents))


def trained_cell(
    model: Trainable,
    task: Task,
    row: Row,
    split: Split,
    settings: TrainingSettings,
    **options: Any,
) -> tuple[Cell, Any]:
    """Train a row and score the validation and test pairs; return the cell and the `Trained`.

    options: options of `training.loop.train`
    """
    index = {part: torch.tensor(rows) for part, rows in split.parts().items()}
    trained = train(model, index["train"], index["validation"], settings, task.seed, **options)
    scores = np.full(len(model.labels), np.nan)
    for part in ("validation", "test"):
        scores[index[part].numpy()] = score_pairs(model, index[part])
    about = {
        "tuning": row.tuning,
        "train_seconds": trained.seconds,
        "parameters": count_parameters(model),
        "steps": trained.step,
        "best_step": trained.best_step,
        trained.unit: trained.work,
    }
    cell = Cell(task.name, task.kind, scores, trained.thresholds, about, trained.course)
    return cell, trained


def _train(bench: Bench, task: Task, row: Row, hooks: dict[str, Any]) -> tuple[Cell, Trainable]:
    dataset, split = bench.dataset, bench.splits[task.split, task.seed]
    months = bench.months.get(task.vectors)
    words = bench.words(task) if reads_words(row) else None
    model = on_vectors(row, dataset, bench.whitened(task), bench.device, task.seed, months, words)
    cell, _ = trained_cell(model, task, row, split, row.training, **hooks)
    learnt: Any = getattr(model.scorer, "learnt", dict)
    cell.facts |= {"learnt": found} if (found := learnt()) else {}
    cell.facts |= timeline_example(model, dataset, split)
    cell.facts |= requirements_example(model, dataset, split)
    cell.examples = attention_examples(model, dataset, split)
    if bench.attribution == task.split:
        cell.facts["faithfulness"] = faithfulness_of(model, dataset, split, task.seed)
    return cell, model


@contextmanager
def shared_by(bench: Bench, jobs: int) -> Iterator[Callable[[Task], Future[Cell]]]:
    """Start worker processes; yield a function that submits a task to them.

    Workers end when this process ends, also if it is killed, and they ignore Ctrl-C, which this
    process handles.
    """
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(jobs, context, initializer=_begin, initargs=(bench,))
    try:
        yield lambda task: pool.submit(_work, task)
    except BaseException:
        workers = list((pool._processes or {}).values())  # shutdown clears this list
        pool.shutdown(wait=False, cancel_futures=True)
        for process in workers:
            process.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


_bench: list[Bench] = []
"""The bench of a worker process."""


def _begin(bench: Bench) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    torch.set_num_threads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _bench.append(bench)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work(task: Task) -> Cell:
    return make_cell(_bench[0], task)[0]


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
