"""List the cells of an experiment and make each of them.

A cell is found in the store, trained in a worker process, or trained in this process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from experiments.cells import cell_store
from experiments.cells.cell import Cell, slug, title
from experiments.cells.row import EncodedDataset, Row, on_tokens, train_whitening, with_budget
from experiments.cells.row_cost import flops_of
from experiments.cells.save_model import model_folder, save_model
from experiments.cells.train_cell import (
    FLOOR_NAMES,
    Bench,
    Task,
    cores,
    make_cell,
    shared_by,
    trained_cell,
)
from experiments.schema import MatchConfig
from experiments.trackers import Tracker
from jdcv_core.data.splits import Split
from jdcv_core.encoding.whitening import Whitening
from jdcv_core.progress import progress
from jdcv_core.training.distributed import rank, world
from jdcv_core.training.state import Trained, trained_weights
from jdcv_core.training.trainable import Trainable
from jdcv_core.types import Dataset
from research.context.on_rows import OnRows

CEILING = "ceiling (noise-free fit)"


@dataclass
class Experiment:
    """The inputs of an experiment and its results so far.

    splits:  (kind, seed) → split
    tasks:   tasks of each split, in the order of the table
    encoded: (row name, seed) → encoded documents; rows with the same encoder share them
    facts:   facts for the record and the notes
    done:    record lines that were on disk when resuming, by row, split and seed
    lines:   lines of the record, in the order of the cells
    columns: columns of predictions.parquet, one entry for each cell
    fresh:   number of cells that were made now instead of found in the store
    """

    config: MatchConfig
    dataset: Dataset
    splits: dict[tuple[str, int], Split]
    rows: list[Row]
    encoded: dict[tuple[str, int], EncodedDataset]
    facts: dict[str, Any]
    folder: Path
    tracker: Tracker
    done: dict[tuple[str, str, int], dict[str, Any]]
    bench: Bench
    lines: list[dict[str, Any]] = field(default_factory=list)
    columns: list[dict[str, np.ndarray]] = field(default_factory=list)
    examples: list[tuple[str, np.ndarray]] = field(default_factory=list)
    fresh: int = 0

    def __post_init__(self) -> None:
        code = cell_store.code_hash(row.scorer["_target_"] for row in self.rows)
        self.tasks = {
            (split, seed): _tasks_of(self, split, seed, code) for split, seed in self.splits
        }

    @property
    def first(self) -> EncodedDataset:
        """The encoder and documents of the baseline under the first seed."""
        return self.encoded[self.config.baseline, self.config.seeds[0]]


def _tasks_of(experiment: Experiment, split: str, seed: int, code: str) -> list[Task]:
    """List the cells of one split and seed in the order of the table.

    The order is: floors, the ceiling (if the data has noise-free fits), and the rows.
    """
    config, dataset = experiment.config, experiment.dataset
    tasks = [_task(experiment, split, seed, code, None, floor) for floor in config.floors]
    if all(p.fit is not None for p in dataset.pairs):
        tasks.append(Task(CEILING, "ceiling", split, seed, None, "", ""))
    return tasks + [_task(experiment, split, seed, code, row) for row in experiment.rows]


@contextmanager
def training(experiment: Experiment) -> Iterator[Callable[[Task], Cell]]:
    """Yield a function that returns the cell of a task.

    The cell is found in the store, trained by a worker process, or trained here. Workers start with
    all tasks when the context begins, and they are stopped when it ends, also by an error.
    """
    config = experiment.config
    tasks = [task for of_split in experiment.tasks.values() for task in of_split]
    found = {t.place: cell for t in tasks if (cell := _find(experiment, t)) is not None}
    missing = [t for t in tasks if t.kind != "ceiling" and t.place not in found]
    experiment.fresh = len(missing)
    jobs = (config.jobs or cores()) if world() == 1 else 1
    elsewhere = [t for t in missing if jobs > 1 and not _only_here(experiment, t)]
    futures = {}
    with ExitStack() as stack:
        if len(elsewhere) > 1:
            jobs = min(jobs, len(elsewhere))
            submit = stack.enter_context(shared_by(experiment.bench, jobs))
            label = f"Cells, {jobs} at a time"
            advance = stack.enter_context(progress(label, len(elsewhere)))
            futures = {t.place: submit(t) for t in elsewhere}
            for future in futures.values():
                future.add_done_callback(lambda _: advance())

        def cell_of(task: Task) -> Cell:
            if task.kind == "ceiling":
                fits = np.array([p.fit for p in experiment.dataset.pairs], dtype=float)
                return Cell(CEILING, "ceiling", fits)
            if task.place in futures:
                cell = futures.pop(task.place).result()
                advance(0, f"{task.split}, seed {task.seed}: {task.name}")
                _log_course(experiment, task, cell)
                return cell
            if task.place in found:
                cell = found[task.place]
                if task.place not in experiment.done:
                    _log_course(experiment, task, cell)  # so that a new record has it, too
                return cell
            return _train_here(experiment, task)

        yield cell_of


def _task(
    experiment: Experiment, split: str, seed: int, code: str, row: Row | None, floor: str = ""
) -> Task:
    """Make the task of a cell, with its key: a hash of everything that its figures depend on."""
    name = row.name if row else FLOOR_NAMES[floor]
    kind = row.kind if row else "floor"
    encoded = experiment.encoded[row.name if row else experiment.config.baseline, seed]
    key = cell_store.cell_key(
        row=None if row is None else {**_plain(row), "encoder": ""},
        floor=floor,
        split=asdict(experiment.splits[split, seed]),
        seed=seed,
        data=experiment.facts["data"]["fingerprint"],
        vectors=encoded.vectors_hash,
        chunks=[encoded.report.size, encoded.report.overlap],
        months=encoded.months_hash,
        attribution=split == experiment.bench.attribution,
        code=code,
    )
    return Task(name, kind, split, seed, row, encoded.vectors_hash, key, floor)


def _find(experiment: Experiment, task: Task) -> Cell | None:
    """Return a cell that was trained before and may be reused, or None."""
    done = task.place in experiment.done
    allowed = (done or experiment.config.reuse) and not _model_is_missing(experiment, task)
    found = cell_store.CellStore(experiment.bench.store).get(task.key) if allowed else None
    return found and replace(found, name=task.name)  # another row may have the same settings


def _train_here(experiment: Experiment, task: Task) -> Cell:
    """Train a cell in this process, and save its model if the experiment keeps it."""
    row, tracker = task.row, experiment.tracker
    if row is None:
        with progress(f"Seed {task.seed}: {task.name}", None):
            return make_cell(experiment.bench, task)[0]
    if row.tuning != "frozen":
        return _train_with_encoder(experiment, task, row)
    with progress(f"Seed {task.seed}: {task.name}", row.training.steps) as advance:
        cell, model = make_cell(
            experiment.bench,
            task,
            start=lambda step: tracker.start(title(task.name, task.split, task.seed), step),
            report=tracker.log,
            advance=advance,
        )
    tracker.end()
    _keep_model(experiment, task, cell, model)
    return cell


def _train_with_encoder(experiment: Experiment, task: Task, row: Row) -> Cell:
    """Train a row and its encoder, from a checkpoint if there is one, and score its pairs."""
    dataset, facts, tracker = experiment.dataset, experiment.facts, experiment.tracker
    split, encoded = (
        experiment.splits[task.split, task.seed],
        experiment.encoded[row.name, task.seed],
    )
    whitening = _whitening(experiment, encoded, split)
    model = on_tokens(row, dataset, encoded, whitening, task.seed)
    index = {part: torch.tensor(rows) for part, rows in split.parts().items()}
    if isinstance(model, OnRows):
        model.fit_whitening(index["train"])
    settings = with_budget(row.training, model, index["train"].numpy())
    with progress(f"Seed {task.seed}: {row.name}", settings.steps) as advance:
        cell, trained = trained_cell(
            model,
            task,
            row,
            split,
            settings,
            folder=checkpoints_of(experiment, task),
            config={"experiment": facts["config_hash"], "data": facts["data"]["fingerprint"]},
            start=lambda step: tracker.start(title(row.name, task.split, task.seed), step),
            report=tracker.log,
            advance=advance,
        )
    tracker.end()
    cell.facts["flops"] = _flops_of(model, row, encoded, trained, index)
    _keep_model(experiment, task, cell, model)
    if rank() == 0:
        cell_store.CellStore(experiment.bench.store).put(task.key, cell)
    return cell


def _keep_model(experiment: Experiment, task: Task, cell: Cell, model: Trainable) -> None:
    """Save a trained row for `jdcv score` if the experiment keeps the model of this cell."""
    if task.row is None or not _keeps_model(experiment, task):
        return
    weights = trained_weights(model)  # called on all processes, since each may hold a part
    if rank() > 0:
        return
    encoded = experiment.encoded[task.name, task.seed]
    split = experiment.splits[task.split, task.seed]
    key = (experiment.config.baseline, task.split, task.seed)
    base = [x for x in experiment.lines if (x["variant"], x["split"], x["seed"]) == key]
    save_model(
        experiment.folder,
        task.row,
        weights,
        encoded,
        _whitening(experiment, encoded, split),
        cell,
        experiment.dataset,
        split,
        task.seed,
        experiment.facts,
        baseline=base[0] if base else None,
    )


def _log_course(experiment: Experiment, task: Task, cell: Cell) -> None:
    """Log the course of a training that ran in another process or in an earlier experiment."""
    if not cell.course:
        return
    experiment.tracker.start(title(task.name, task.split, task.seed), 0)
    for line in cell.course:
        experiment.tracker.log(int(line["step"]), line)
    experiment.tracker.end()


def _flops_of(
    model: Trainable,
    row: Row,
    encoded: EncodedDataset,
    trained: Trained,
    index: dict[str, torch.Tensor],
) -> float | None:
    """Count the operations of the encoder in a cell that trained it, with validation and test."""
    if row.tuning == "frozen":
        return None
    looks = sum("validation_loss" in line for line in trained.course)
    seen = looks * model.work(index["validation"]) + model.work(index["test"])
    return flops_of(row, encoded.encoder, trained.work, seen, encoded.report.size)


def _whitening(experiment: Experiment, encoded: EncodedDataset, split: Split) -> Whitening:
    return train_whitening(experiment.dataset, encoded.matrices, split)


def checkpoints_of(experiment: Experiment, task: Task) -> Path:
    return experiment.folder / "checkpoints" / slug(task.name, task.split, task.seed)


def _keeps_model(experiment: Experiment, task: Task) -> bool:
    """Return whether the experiment keeps this cell's model (the models of the first seed)."""
    config = experiment.config
    first = (config.split.kind, config.seeds[0])
    return config.save_models and task.row is not None and (task.split, task.seed) == first


def _model_is_missing(experiment: Experiment, task: Task) -> bool:
    folder = experiment.folder
    return _keeps_model(experiment, task) and not model_folder(folder, task.name).exists()


def _only_here(experiment: Experiment, task: Task) -> bool:
    """Return whether a cell must be trained in this process instead of a worker.

    This holds for rows that train their encoder, which may use every core, and for cells whose
    model is saved, because workers return only the cell.
    """
    tuned = task.row is not None and task.row.tuning != "frozen"
    return tuned or _keeps_model(experiment, task)


def _plain(row: Row) -> dict[str, Any]:
    """Convert a row to plain values, for a key."""
    return {k: v for k, v in asdict(row).items() if k != "name"}
