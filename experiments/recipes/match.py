"""Recipe match: encode once, train every row for every split and seed, compare."""

from __future__ import annotations

import json
import shutil
from collections.abc import Generator, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from omegaconf import DictConfig, OmegaConf

from experiments import validate
from experiments.cells import cell_store
from experiments.cells.cell import Cell, joined, measure, slug, title
from experiments.cells.row import (
    EncodedDataset,
    Row,
    encode,
    make,
    on_tokens,
    rows_of,
    train_whitening,
    with_budget,
    with_equal_parameters,
)
from experiments.cells.row_cost import flops_of, show_rows
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
from experiments.figures import pretraining_figure, result_figures, scaling_figure, training_figures
from experiments.recipes import experience_summary, pretrained_encoders
from experiments.report import ablation
from experiments.report.table import Table, make_table
from experiments.schema import NOT_THE_RESULT, Config, MatchConfig, as_config
from experiments.trackers import Tracker, make_tracker
from jdcv_core import records
from jdcv_core.data.near_duplicates import near_duplicate_groups
from jdcv_core.data.splits import Split, check_leaks, make_split, split_facts
from jdcv_core.encoding.whitening import Whitening
from jdcv_core.evaluation.compare import spread
from jdcv_core.progress import progress
from jdcv_core.training.distributed import first_alone, from_first, rank, world
from jdcv_core.training.state import Trained, trained_weights
from jdcv_core.training.trainable import Trainable
from jdcv_core.types import Dataset

CEILING = "ceiling (noise-free fit)"
PRETRAINED = {"_target_": "jdcv_core.encoding.saved_encoder.pretrained"}


@dataclass
class Experiment:
    """What is known before the first training, and what has come out so far.

    splits:  by kind and seed, in the order of the cells
    encoded: by row name and seed; what shares an encoder shares one
    facts:   for the record and the notes
    lines:   of the record, in the order of the cells
    done:    those that were there when an interrupted experiment is gone on with
    columns: of predictions.parquet, cell by cell
    fresh:   cells that were made now, not found
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

    @property
    def first(self) -> EncodedDataset:
        """The encoder of the baseline under the first seed."""
        return self.encoded[self.config.baseline, self.config.seeds[0]]


def run(composed: DictConfig, point: Mapping[str, Any] | None = None) -> Path | None:
    """The whole experiment; returns its folder of records (None after an estimate).

    composed: a checked composition of `experiments.schema.Config`
    point:    where in a sweep it stands, for the record

    Every finished cell is on disk before the next begins, and a row whose encoder is trained has
    checkpoints in between: repeated, the command makes only what is missing; with `resume: auto`
    an interrupted experiment goes on in its own folder.
    Raises InputError before anything is written if data, split or configuration are at fault.
    """
    config = cast(MatchConfig, as_config(composed))
    resolved = cast(dict[str, Any], OmegaConf.to_container(composed, resolve=True))
    dataset: Dataset = make(config.data)
    splits, about_splits = make_splits(config, dataset)
    rows = rows_of(config)
    if config.estimate:
        main = {seed: split for (kind, seed), split in splits.items() if kind == config.split.kind}
        show_rows(rows, dataset, main, config)
        return None
    encoded = encode_for(rows, config, dataset, splits)
    if config.match_parameters:
        rows = with_equal_parameters(rows, next(iter(encoded.values())).encoder.dim)
    facts = {
        "experiment": config.experiment,
        "baseline": config.baseline,
        "config": resolved,
        "config_hash": records.config_hash(_result(resolved)),
        "git": records.git_state(),
        "versions": records.versions(),
        "data": {"name": dataset.name, **dataset.facts},
        "encodings": [e.report.summary() for e in dict.fromkeys(encoded.values())],
        "experiences": next(iter(encoded.values())).report.experiences,
        "splits": about_splits,
        **({"sweep": dict(point)} if point else {}),
    }
    folder = Path(from_first(str(_folder(config, resolved)) if rank() == 0 else ""))
    tracker = make_tracker(
        config.tracker if rank() == 0 else "none", folder, config.experiment, resolved
    )
    lines = from_first(records.lines_so_far(folder) if rank() == 0 else None)
    done = {(line["variant"], line["split"], line["seed"]): line for line in lines}
    vectors = {cell_store.vectors_hash(e.matrices): e.matrices for e in set(encoded.values())}
    bench = Bench(
        dataset,
        splits,
        vectors,
        next(iter(encoded.values())).encoder.device,
        config.split.kind if config.attribution else "",
        Path(config.cache_dir) / "cells",
        {cell_store.vectors_hash(e.matrices): e.months for e in set(encoded.values()) if e.months},
    )
    experiment = Experiment(
        config, dataset, splits, rows, encoded, facts, folder, tracker, done, bench
    )
    if rank() == 0:
        ablation.show_facts(facts, folder)
    tasks = tasks_of(experiment)
    with closing(cells_of(experiment, tasks)) as cells:  # on Ctrl-C the workers end at once
        for task, cell in cells:
            record(experiment, cell, task)
            if task.row is not None and rank() == 0:
                shutil.rmtree(_checkpoints(experiment, task), ignore_errors=True)
    return conclude(experiment) if rank() == 0 else folder


def make_splits(
    config: Config, dataset: Dataset
) -> tuple[dict[tuple[str, int], Split], dict[str, dict[str, dict[str, Any]]]]:
    """The split of each kind and seed, checked for leaks; and what a reader must know of it, by
    kind and seed."""
    groups = near_duplicate_groups(dataset.documents.values())
    splits: dict[tuple[str, int], Split] = {}
    facts: dict[str, dict[str, dict[str, Any]]] = {}
    for kind in dict.fromkeys([config.split.kind, *config.split.also]):
        for seed in config.seeds:
            fractions = config.split.fractions
            split = make_split(dataset, kind, seed=seed, fractions=fractions, groups=groups)
            check_leaks(dataset, split, groups)
            splits[kind, seed] = split
            facts.setdefault(kind, {})[str(seed)] = split_facts(dataset, split, groups)
    return splits, facts


def encode_for(
    rows: list[Row], config: MatchConfig, dataset: Dataset, splits: dict[tuple[str, int], Split]
) -> dict[tuple[str, int], EncodedDataset]:
    """Row name and seed → its encoder and what that made of the documents; each is used once."""
    documents = [*dataset.side("cv"), *dataset.side("jd")]
    by_node: dict[str, EncodedDataset] = {}

    any_pretrained = any(row.pretrained for row in rows)
    groups = near_duplicate_groups(dataset.documents.values()) if any_pretrained else {}

    def encoded(node: dict[str, Any]) -> EncodedDataset:
        key = repr(node)
        if key not in by_node:
            with first_alone():  # it trains or fetches the encoder and fills the store
                by_node[key] = encode(config, node, documents, dataset.facts.get("reference"))
        return by_node[key]

    found = {}
    for seed in config.seeds:
        for row in rows:
            anew = config.encoder_seeds and validate.takes(row.encoder, "seed")
            node = row.encoder | ({"seed": seed} if anew else {})
            if folder := node.get("init_from"):
                start = pretrained_encoders.of_seed(Path(folder), seed)
                pretrained_encoders.check_seen(start, splits, dataset, seed)
                node |= {"init_from": str(start)}
            found[row.name, seed] = encoded(node)
            if row.pretrained:
                base, split = found[row.name, seed], splits[config.split.kind, seed]
                start = pretrained_encoders.pretrained_folder(
                    Path(config.cache_dir), base, dataset, split, seed, config.pretraining, groups
                )
                precision = base.encoder.precision
                node = {**PRETRAINED, "init_from": str(start), "precision": precision}
                found[row.name, seed] = encoded(node)
                found[row.name, seed].source = start
    return found


def tasks_of(experiment: Experiment) -> list[Task]:
    """What is to be made, in the order of the record."""
    config, tasks = experiment.config, []
    code = cell_store.code_hash(row.scorer["_target_"] for row in experiment.rows)
    hashes = {id(vectors): key for key, vectors in experiment.bench.vectors.items()}

    def add(name: str, kind: str, split: str, seed: int, row: Row | None, floor: str = "") -> None:
        encoded = experiment.encoded[row.name if row else config.baseline, seed]
        vectors = hashes.get(id(encoded.matrices)) or cell_store.vectors_hash(encoded.matrices)
        key = cell_store.cell_key(
            row=None if row is None else {**_plain(row), "encoder": ""},
            floor=floor,
            split=asdict(experiment.splits[split, seed]),
            seed=seed,
            data=experiment.facts["data"]["fingerprint"],
            vectors=vectors,
            chunks=[encoded.report.size, encoded.report.overlap],
            months=cell_store.vectors_hash(encoded.months) if encoded.months else "",
            attribution=split == experiment.bench.attribution,
            code=code,
        )
        tasks.append(Task(name, kind, split, seed, row, vectors, key, floor))

    for split, seed in experiment.splits:
        for floor in config.floors:
            add(FLOOR_NAMES[floor], "floor", split, seed, None, floor)
        if all(p.fit is not None for p in experiment.dataset.pairs):
            tasks.append(Task(CEILING, "ceiling", split, seed, None, "", ""))
        for row in experiment.rows:
            add(row.name, row.kind, split, seed, row)
    return tasks


def cells_of(experiment: Experiment, tasks: list[Task]) -> Generator[tuple[Task, Cell], None, None]:
    """The cells in the order of the tasks: found, or made by worker processes, or made here."""
    config = experiment.config
    jobs = (config.jobs or cores()) if world() == 1 else 1
    found = {t: cell for t in tasks if (cell := find_cell(experiment, t)) is not None}
    missing = [t for t in tasks if t not in found]
    experiment.fresh = len(missing)
    elsewhere = [t for t in missing if jobs > 1 and not _only_here(experiment, t)]
    if len(elsewhere) < 2:
        for task in tasks:
            yield task, known_cell(experiment, task, found) or cell_here(experiment, task)
        return
    label = f"Cells, {min(jobs, len(elsewhere))} at a time"
    with (
        shared_by(experiment.bench, min(jobs, len(elsewhere))) as submit,
        progress(label, len(elsewhere)) as advance,
    ):
        futures = {task: submit(task) for task in elsewhere}
        for future in futures.values():
            future.add_done_callback(lambda _: advance())
        for task in tasks:
            if task in futures:
                cell = futures.pop(task).result()
                log_course(experiment, task, cell)
                advance(0, f"{task.split}, seed {task.seed}: {task.name}")
                yield task, cell
            else:
                yield task, known_cell(experiment, task, found) or cell_here(experiment, task)


def known_cell(experiment: Experiment, task: Task, found: dict[Task, Cell]) -> Cell | None:
    """A cell that was found; a new record gets the course of its training, too."""
    cell = found.get(task)
    if cell is not None and (task.name, task.split, task.seed) not in experiment.done:
        log_course(experiment, task, cell)
    return cell


def find_cell(experiment: Experiment, task: Task) -> Cell | None:
    """A cell that need not be made: the ceiling, or one in the store."""
    if task.kind == "ceiling":
        fits = np.array([p.fit for p in experiment.dataset.pairs], dtype=float)
        return Cell(CEILING, "ceiling", fits)
    done = (task.name, task.split, task.seed) in experiment.done
    if not (done or experiment.config.reuse) or _model_is_missing(experiment, task):
        return None
    return cell_store.CellStore(experiment.bench.store).get(task.key)


def cell_here(experiment: Experiment, task: Task) -> Cell:
    """Make a cell in this process; a trained model that is to be kept is saved."""
    row, tracker = task.row, experiment.tracker
    if row is None:
        with progress(f"Seed {task.seed}: {task.name}", None):
            return make_cell(experiment.bench, task)[0]
    if row.tuning != "frozen":
        return tuned_cell(experiment, task, row)
    with progress(f"Seed {task.seed}: {task.name}", row.training.steps) as advance:
        cell, model = make_cell(
            experiment.bench,
            task,
            start=lambda step: tracker.start(title(task.name, task.split, task.seed), step),
            report=tracker.log,
            advance=advance,
        )
    tracker.end()
    keep_model(experiment, task, cell, model)
    return cell


def tuned_cell(experiment: Experiment, task: Task, row: Row) -> Cell:
    """Train a row with its encoder, from its checkpoint where there is one, and score its pairs."""
    dataset, facts, tracker = experiment.dataset, experiment.facts, experiment.tracker
    split, encoded = (
        experiment.splits[task.split, task.seed],
        experiment.encoded[row.name, task.seed],
    )
    whitening = _whitening(experiment, encoded, split)
    model = on_tokens(row, dataset, encoded, whitening, task.seed)
    index = {part: torch.tensor(rows) for part, rows in split.parts().items()}
    settings = with_budget(row.training, model, index["train"].numpy())
    with progress(f"Seed {task.seed}: {row.name}", settings.steps) as advance:
        cell, trained = trained_cell(
            model,
            task,
            row,
            split,
            settings,
            folder=_checkpoints(experiment, task),
            config={"experiment": facts["config_hash"], "data": facts["data"]["fingerprint"]},
            start=lambda step: tracker.start(title(row.name, task.split, task.seed), step),
            report=tracker.log,
            advance=advance,
        )
    tracker.end()
    cell.facts["flops"] = flops_of_cell(model, row, encoded, trained, index)
    keep_model(experiment, task, cell, model)
    if rank() == 0:
        cell_store.CellStore(experiment.bench.store).put(task.key, cell)
    return cell


def keep_model(experiment: Experiment, task: Task, cell: Cell, model: Trainable) -> None:
    """Save a trained row for `jdcv score`, if the experiment keeps models and it is its turn."""
    if task.row is None or not _keeps_model(experiment, task):
        return
    weights = trained_weights(model)  # all processes: each may hold a part
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


def log_course(experiment: Experiment, task: Task, cell: Cell) -> None:
    """Tell the tracker of a training that another process made."""
    if not cell.course:
        return
    experiment.tracker.start(title(task.name, task.split, task.seed), 0)
    for line in cell.course:
        experiment.tracker.log(int(line["step"]), line)
    experiment.tracker.end()


def flops_of_cell(
    model: Trainable,
    row: Row,
    encoded: EncodedDataset,
    trained: Trained,
    index: dict[str, torch.Tensor],
) -> float | None:
    """Operations of the encoder in a cell that trained it, validation and test included."""
    if row.tuning == "frozen":
        return None
    looks = sum("validation_loss" in line for line in trained.course)
    seen = looks * model.work(index["validation"]) + model.work(index["test"])
    return flops_of(row, encoded.encoder, trained.work, seen, encoded.report.size)


def record(experiment: Experiment, cell: Cell, task: Task) -> None:
    """Measure the cell and append its line to the record, unless it is there already."""
    dataset, facts = experiment.dataset, experiment.facts
    split = experiment.splits[task.split, task.seed]
    of = task.name if task.row is not None else experiment.config.baseline
    line, columns = measure(cell, dataset, split, task.seed)
    line |= {
        "experiment": facts["experiment"],
        "config_hash": facts["config_hash"],
        "git": facts["git"],
        "versions": facts["versions"],
        "data_fingerprint": facts["data"]["fingerprint"],
        "encoder": experiment.encoded[of, task.seed].report.summary(),
    }
    before = experiment.done.get((cell.name, task.split, task.seed))
    if before is None and rank() == 0:
        records.append_record(experiment.folder, line)
    experiment.lines.append(before or line)
    experiment.columns.append(columns)
    if task.split == experiment.config.split.kind:
        experiment.examples = cell.examples or experiment.examples


def conclude(experiment: Experiment) -> Path:
    """The table, the figures, and the folder's final name."""
    folder, facts, config = experiment.folder, experiment.facts, experiment.config
    facts["cells"] = {"made": experiment.fresh, "all": len(experiment.lines)}
    facts |= pretrained_facts(experiment)
    facts |= experience_summary.facts_of(
        experiment.first, experiment.dataset, experiment.splits, config, folder, experiment.lines
    )
    encoder = experiment.first.encoder
    with progress("Intervals", None):
        table = make_table(experiment.lines, experiment.columns, facts, config.compared)
    ablation.write(folder, table, facts, joined(experiment.columns))
    main = [
        (line, columns)
        for line, columns in zip(experiment.lines, experiment.columns, strict=True)
        if line["split"] == config.split.kind
    ]
    lines, predictions = [line for line, _ in main], joined(columns for _, columns in main)
    with progress("Drawing figures", None):
        result_figures.dataset_figures(folder, experiment.dataset, encoder.tokenizer, encoder.name)
        result_figures.table_figure(folder, table)
        result_figures.prediction_figures(folder, predictions)
        result_figures.attention_figure(folder, experiment.examples)
        training_figures.draw(folder, lines, predictions)
        scaling_figure.draw(folder, points(experiment, table))
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    folder = records.finish_record(folder)
    ablation.show(table, folder)
    return folder


def pretrained_facts(experiment: Experiment) -> dict[str, Any]:
    """Where rows are pretrained: recall by chunk vectors of each encoder; the encoders and a figure
    of their training go into the record."""
    config, rows = experiment.config, {row.name: row for row in experiment.rows}
    chosen = next((row for row in experiment.rows if row.pretrained), None)
    if chosen is None:
        return {}
    plain = next(
        (r for r in rows.values() if not r.pretrained and r.encoder == chosen.encoder), None
    )
    names = {
        experiment.encoded[row.name, config.seeds[0]].encoder.name: row.name
        for row in (plain, chosen)
        if row is not None
    }
    splits = {s: experiment.splits[config.split.kind, s] for s in config.seeds}
    courses = {}
    for seed in config.seeds:
        start = experiment.encoded[chosen.name, seed].source
        target = experiment.folder / "encoders" / f"seed-{seed}"
        shutil.copytree(start, target, dirs_exist_ok=True)
        courses[seed] = json.loads(
            (target / pretrained_encoders.COURSE).read_text(encoding="utf-8")
        )
    pretraining_figure.draw(experiment.folder, courses)
    with progress("Retrieval by chunk vectors", None):
        found = pretrained_encoders.retrieval(
            experiment.encoded, experiment.dataset, splits, names, next(iter(names))
        )
    return {"retrieval": found}


def points(experiment: Experiment, table: Table) -> list[scaling_figure.Point]:
    """Quality against operations, where rows differ in the size of their encoder."""
    seed = experiment.config.seeds[0]
    encoders = {row.name: experiment.encoded[row.name, seed].encoder for row in experiment.rows}
    if len({repr(row.encoder) for row in experiment.rows}) < 2:
        return []
    lines = {line["variant"]: line for line in experiment.lines if line.get("flops")}
    return [
        scaling_figure.Point(
            name,
            encoders[name].parameters,
            line["flops"],
            {metric: spread(table.values(name, metric)) for metric, _ in scaling_figure.METRICS},
        )
        for name, line in lines.items()
    ]


def _whitening(experiment: Experiment, encoded: EncodedDataset, split: Split) -> Whitening:
    return train_whitening(experiment.dataset, encoded.matrices, split)


def _checkpoints(experiment: Experiment, task: Task) -> Path:
    return experiment.folder / "checkpoints" / slug(task.name, task.split, task.seed)


def _keeps_model(experiment: Experiment, task: Task) -> bool:
    """Whether this cell's model is one that the experiment keeps: of the first seed."""
    config = experiment.config
    first = (config.split.kind, config.seeds[0])
    return config.save_models and task.row is not None and (task.split, task.seed) == first


def _model_is_missing(experiment: Experiment, task: Task) -> bool:
    folder = experiment.folder
    return _keeps_model(experiment, task) and not model_folder(folder, task.name).exists()


def _only_here(experiment: Experiment, task: Task) -> bool:
    """Rows that train the encoder may use every core, and a model that is kept must be at hand."""
    tuned = task.row is not None and task.row.tuning != "frozen"
    return tuned or _keeps_model(experiment, task)


def _plain(row: Row) -> dict[str, Any]:
    """A row as plain values, for a key."""
    return {k: v for k, v in asdict(row).items() if k != "name"}


def _result(resolved: dict[str, Any]) -> dict[str, Any]:
    """The part of a configuration that figures hang on."""
    return {key: value for key, value in resolved.items() if key not in NOT_THE_RESULT}


def _folder(config: MatchConfig, resolved: dict[str, Any]) -> Path:
    """A new folder of records, or the unfinished one that is to be gone on with."""
    result = _result(resolved)
    found = (
        records.unfinished(config.runs_dir, config.experiment, result) if config.resume else None
    )
    return found or records.start_record(config.runs_dir, config.experiment, result)
