"""Recipe match: encode once, train every row for every seed, compare with the baseline."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from omegaconf import DictConfig, OmegaConf

from experiments import checks, figures, report, scaling_figure, training_figures
from experiments.recipes.cells import Cell, find_cell, keep_cell, measure, slug, title
from experiments.recipes.estimating import flops_of, show_rows
from experiments.recipes.models import save_model
from experiments.recipes.rows import (
    Encoded,
    Row,
    documents_of,
    encode,
    make,
    make_trainable,
    rows_of,
    with_budget,
)
from experiments.schema import NOT_THE_RESULT, Config
from experiments.trackers import Tracker, make_tracker
from jdcv_core import floors, records
from jdcv_core.data.near_duplicates import near_duplicate_groups
from jdcv_core.data.splits import Split, check_leaks, make_split, split_facts
from jdcv_core.encoding.whitening import Whitening
from jdcv_core.evaluation.classification import GOOD
from jdcv_core.evaluation.statistics import spread
from jdcv_core.progress import progress
from jdcv_core.scoring import count_parameters
from jdcv_core.training.distributed import first_alone, from_first, rank
from jdcv_core.training.loop import score_pairs, train
from jdcv_core.training.pairs import PairTensors
from jdcv_core.training.state import Trained, trained_weights
from jdcv_core.training.trainable import Trainable
from jdcv_core.types import Dataset
from research.chunk_attention import ChunkAttention

CEILING = "ceiling (noise-free fit)"


@dataclass
class Experiment:
    """What is known before the first training, and what has come out so far.

    encoded: by row name; rows with the same encoder share one
    facts:   for the record and the notes
    lines:   of the record, in the order of the cells
    done:    those that were there when an interrupted experiment is gone on with
    """

    config: Config
    dataset: Dataset
    splits: dict[int, Split]
    rows: list[Row]
    encoded: dict[str, Encoded]
    facts: dict[str, Any]
    folder: Path
    tracker: Tracker
    done: dict[tuple[str, int], dict[str, Any]]
    lines: list[dict[str, Any]] = field(default_factory=list)
    predictions: dict[str, list[Any]] = field(default_factory=dict)
    examples: list[tuple[str, np.ndarray]] = field(default_factory=list)


def run(composed: DictConfig) -> Path | None:
    """The whole experiment; returns its folder of records (None after an estimate).

    composed: a checked composition of `experiments.schema.Config`

    Every finished cell is on disk before the next begins, and a row whose encoder is trained has
    checkpoints in between: with `resume: auto` an interrupted experiment goes on where it was.
    Raises InputError before anything is written if data, split or configuration are at fault.
    """
    config = cast(Config, OmegaConf.to_object(composed))
    resolved = cast(dict[str, Any], OmegaConf.to_container(composed, resolve=True))
    checks.variants(config)
    dataset: Dataset = make(config.data)
    splits, about_splits = split_by_seed(config, dataset)
    rows = rows_of(config)
    if config.estimate:
        show_rows(rows, dataset, splits, config)
        return None
    encoded = encode_for(rows, config, dataset)
    facts = {
        "experiment": config.experiment,
        "baseline": config.baseline,
        "config": resolved,
        "config_hash": records.config_hash(_result(resolved)),
        "git": records.git_state(),
        "versions": records.versions(),
        "data": {"name": dataset.name, **dataset.facts},
        "encodings": [e.report.facts() for e in dict.fromkeys(encoded.values())],
        "splits": about_splits,
    }
    folder = Path(from_first(str(_folder(config, resolved)) if rank() == 0 else ""))
    tracker = make_tracker(
        config.tracker if rank() == 0 else "none", folder, config.experiment, resolved
    )
    lines = from_first(records.lines_so_far(folder) if rank() == 0 else None)
    done = {(line["variant"], line["seed"]): line for line in lines}
    experiment = Experiment(config, dataset, splits, rows, encoded, facts, folder, tracker, done)
    if rank() == 0:
        report.show_facts(facts, folder)
    for seed in splits:
        for cell in floor_cells(experiment, seed):
            record(experiment, cell, seed, encoded[config.baseline])
        for row in rows:
            line = done.get((row.name, seed))
            cell = find_cell(folder, line) if line else train_cell(experiment, row, seed)
            record(experiment, cell, seed, encoded[row.name])
            if rank() == 0:
                shutil.rmtree(_checkpoints(experiment, row, seed), ignore_errors=True)
    return conclude(experiment) if rank() == 0 else folder


def split_by_seed(
    config: Config, dataset: Dataset
) -> tuple[dict[int, Split], dict[str, dict[str, Any]]]:
    """The split of each seed, checked for leaks, and what a reader must know of it."""
    groups = near_duplicate_groups(dataset.documents.values())
    splits, facts = {}, {}
    for seed in config.seeds:
        kind, fractions = config.split.kind, config.split.fractions
        split = make_split(dataset, kind, seed=seed, fractions=fractions, groups=groups)
        check_leaks(dataset, split, groups)
        splits[seed], facts[str(seed)] = split, split_facts(dataset, split, groups)
    return splits, facts


def encode_for(rows: list[Row], config: Config, dataset: Dataset) -> dict[str, Encoded]:
    """Row name → its encoder and what that made of the documents; each encoder is used once."""
    documents = [*dataset.side("cv"), *dataset.side("jd")]
    by_node: dict[str, Encoded] = {}
    for row in rows:
        key = repr(row.encoder)
        if key not in by_node:
            with first_alone():  # it trains or fetches the encoder and fills the store
                by_node[key] = encode(config, row.encoder, documents)
    return {row.name: by_node[repr(row.encoder)] for row in rows}


def floor_cells(experiment: Experiment, seed: int) -> Iterator[Cell]:
    """Floors and ceiling of one seed; the probes read whitened vectors of the untrained encoder."""
    dataset, train = experiment.dataset, experiment.splits[seed].train
    pairs, encoded = dataset.pairs, experiment.encoded[experiment.config.baseline]
    vectors = _whitening(experiment, encoded, seed)(encoded.matrices)
    yield Cell("majority class", "floor", floors.majority(pairs, train), cuts=(0.25, 0.75))
    yield Cell("TF-IDF cosine", "floor", floors.tfidf_cosine(pairs, train, dataset.documents))
    yield Cell("CV-only probe", "floor", floors.one_side_probe(pairs, train, vectors, "cv"))
    yield Cell("JD-only probe", "floor", floors.one_side_probe(pairs, train, vectors, "jd"))
    if all(p.fit is not None for p in pairs):
        yield Cell(CEILING, "ceiling", np.array([p.fit for p in pairs], dtype=float))


def train_cell(experiment: Experiment, row: Row, seed: int) -> Cell:
    """Train a row under a seed, from its checkpoint where there is one, and score its pairs."""
    dataset, split, facts = experiment.dataset, experiment.splits[seed], experiment.facts
    encoded, tracker = experiment.encoded[row.name], experiment.tracker
    whitening = _whitening(experiment, encoded, seed)
    model = make_trainable(row, encoded, dataset, whitening, seed)
    index = {part: torch.tensor(rows) for part, rows in split.parts().items()}
    settings = with_budget(row.training, model, index["train"].numpy())
    with progress(f"Seed {seed}: {row.name}", settings.steps) as advance:
        trained = train(
            model,
            index["train"],
            index["validation"],
            settings,
            seed,
            folder=None if row.tuning == "frozen" else _checkpoints(experiment, row, seed),
            config={"experiment": facts["config_hash"], "data": facts["data"]["fingerprint"]},
            start=lambda step: tracker.start(title(row.name, seed), step),
            report=tracker.log,
            advance=advance,
        )
    tracker.end()
    scores = np.full(len(dataset.pairs), np.nan)
    with progress(f"Seed {seed}: scoring", None):
        for part in ("validation", "test"):
            scores[index[part].numpy()] = score_pairs(model, index[part])
    about = {
        "tuning": row.tuning,
        "train_seconds": trained.seconds,
        "parameters": count_parameters(model),
        "steps": trained.step,
        "best_step": trained.best_step,
        trained.unit: trained.work,
        "flops": flops_of_cell(model, row, encoded, trained, index),
    }
    cell = Cell(row.name, "variant", scores, trained.thresholds, about, trained.course)
    if isinstance(model.scorer, ChunkAttention) and "cross_jd" in model.scorer.terms:
        cell.examples = attention_examples(model.scorer, dataset, split, whitening, encoded)
    if experiment.config.save_models and seed == experiment.config.seeds[0]:
        weights = trained_weights(model)  # all processes: each may hold a part
        if rank() == 0:
            plain = make_trainable(row, encoded, dataset, whitening, seed)
            plain.load_state_dict(weights, strict=False)
            base = [
                line
                for line in experiment.lines
                if (line["variant"], line["seed"]) == (experiment.config.baseline, seed)
            ]
            save_model(
                experiment.folder,
                row,
                plain,
                encoded,
                whitening,
                cell,
                dataset,
                split,
                seed,
                facts,
                baseline=base[0] if base else None,
            )
    if rank() == 0:
        keep_cell(experiment.folder, cell, seed)
    return cell


def flops_of_cell(
    model: Trainable, row: Row, encoded: Encoded, trained: Trained, index: dict[str, torch.Tensor]
) -> float | None:
    """Operations of the encoder in a cell that trained it, validation and test included."""
    if row.tuning == "frozen":
        return None
    looks = sum("validation_loss" in line for line in trained.course)
    seen = looks * model.work(index["validation"]) + model.work(index["test"])
    return flops_of(row, encoded.encoder, trained.work, seen, encoded.report.size)


def record(experiment: Experiment, cell: Cell, seed: int, encoded: Encoded) -> None:
    """Measure the cell and append its line to the record, unless it is there already."""
    dataset, facts, split = experiment.dataset, experiment.facts, experiment.splits[seed]
    line = measure(cell, dataset, split, seed, experiment.predictions) | {
        "experiment": facts["experiment"],
        "config_hash": facts["config_hash"],
        "git": facts["git"],
        "versions": facts["versions"],
        "data_fingerprint": facts["data"]["fingerprint"],
        "encoder": encoded.report.facts(),
    }
    before = experiment.done.get((cell.name, seed))
    if before is None and rank() == 0:
        records.append_record(experiment.folder, line)
    experiment.lines.append(before or line)
    experiment.examples = cell.examples or experiment.examples


def conclude(experiment: Experiment) -> Path:
    """The table, the figures, and the folder's final name."""
    folder, facts, predictions = experiment.folder, experiment.facts, experiment.predictions
    encoder = experiment.encoded[experiment.config.baseline].encoder
    table = report.table(experiment.lines, predictions, facts)
    report.write(folder, table, facts, predictions, facts["config"])
    with progress("Drawing figures", None):
        figures.dataset_figures(folder, experiment.dataset, encoder.tokenizer, encoder.name)
        figures.table_figure(folder, table)
        figures.prediction_figures(folder, predictions)
        figures.attention_figure(folder, experiment.examples)
        training_figures.draw(folder, experiment.lines, predictions)
        scaling_figure.draw(folder, points(experiment, table))
    for working in ("checkpoints", "cells"):
        shutil.rmtree(folder / working, ignore_errors=True)
    folder = records.finish_record(folder)
    report.show(table, folder)
    return folder


def points(experiment: Experiment, table: report.Table) -> list[scaling_figure.Point]:
    """Quality against operations, where rows differ in the size of their encoder."""
    if len(set(experiment.encoded.values())) < 2:
        return []
    lines = {line["variant"]: line for line in experiment.lines if line.get("flops")}
    return [
        scaling_figure.Point(
            name,
            experiment.encoded[name].encoder.parameters,
            line["flops"],
            {metric: spread(table.values(name, metric)) for metric, _ in scaling_figure.METRICS},
        )
        for name, line in lines.items()
    ]


def attention_examples(
    scorer: ChunkAttention,
    dataset: Dataset,
    split: Split,
    whitening: Whitening,
    encoded: Encoded,
    count: int = 3,
) -> list[tuple[str, np.ndarray]]:
    """(title, [JD chunk, CV chunk]) of a few Good Fit test pairs with the most chunks."""
    vectors = encoded.matrices
    pairs = [dataset.pairs[i] for i in split.test if dataset.pairs[i].label == GOOD]
    pairs.sort(key=lambda p: (-len(vectors[p.jd]) * len(vectors[p.cv]), p.jd, p.cv))
    distinct = {p.jd: p for p in reversed(pairs)}  # the largest pair of each JD
    examples = []
    for pair in sorted(distinct.values(), key=pairs.index)[:count]:
        data = PairTensors.of([pair], whitening({i: vectors[i] for i in (pair.jd, pair.cv)}))
        data = data.to(str(next(scorer.parameters()).device))
        weights = scorer.cross_attention(*data.sides(torch.tensor([0])))[0]
        examples.append((f"{pair.jd[:9]} reads {pair.cv[:9]}", weights.cpu().numpy()))
    return examples


def _whitening(experiment: Experiment, encoded: Encoded, seed: int) -> Whitening:
    train = experiment.splits[seed].train
    return Whitening.fit(encoded.matrices, documents_of(experiment.dataset, train))


def _checkpoints(experiment: Experiment, row: Row, seed: int) -> Path:
    return experiment.folder / "checkpoints" / slug(row.name, seed)


def _result(resolved: dict[str, Any]) -> dict[str, Any]:
    """The part of a configuration that figures hang on."""
    return {key: value for key, value in resolved.items() if key not in NOT_THE_RESULT}


def _folder(config: Config, resolved: dict[str, Any]) -> Path:
    """A new folder of records, or the unfinished one that is to be gone on with."""
    result = _result(resolved)
    found = (
        records.unfinished(config.runs_dir, config.experiment, result) if config.resume else None
    )
    return found or records.start_record(config.runs_dir, config.experiment, result)
