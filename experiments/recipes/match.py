"""Recipe match: encode once, train every row for every split and seed, compare."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf

from experiments.cells.cell import Cell, joined, measure
from experiments.cells.row import make, reads_words, rows_of, with_equal_parameters
from experiments.cells.row_cost import show_rows
from experiments.cells.schedule import Experiment, checkpoints_of, training
from experiments.cells.train_cell import Bench, Task
from experiments.figures import (
    pretraining_figure,
    requirements_figure,
    result_figures,
    scaling_figure,
    training_figures,
)
from experiments.recipes import experience_summary, pretrained_encoders
from experiments.recipes.prepare import check_objectives, check_widths, encode_rows, make_splits
from experiments.report import ablation
from experiments.report.table import Table, make_table
from experiments.schema import NOT_THE_RESULT, MatchConfig, as_config
from experiments.trackers import make_tracker
from jdcv_core import records
from jdcv_core.evaluation.intervals import spread
from jdcv_core.evaluation.metrics import HEADLINE
from jdcv_core.progress import progress
from jdcv_core.requirements import Numbers, with_texts
from jdcv_core.training.distributed import from_first, rank
from jdcv_core.types import Dataset


def run(composed: DictConfig, point: Mapping[str, Any] | None = None) -> Path | None:
    """Run the whole experiment; return its folder of records (None after an estimate).

    composed: a checked composition of `experiments.schema.MatchConfig`
    point:    the experiment's point in a sweep, for the record

    Every finished cell is written to disk before the next begins, and a row whose encoder is
    trained writes checkpoints. If the command is repeated, it makes only the missing cells; with
    `resume: auto`, an interrupted experiment continues in its folder.
    Raises InputError before anything is written if the data or the split is invalid.
    """
    experiment = prepare(composed, point)
    if experiment is None:
        return None
    with training(experiment) as cell_of:
        for split, seed in experiment.splits:
            for task in experiment.tasks[split, seed]:
                cell = cell_of(task)  # trains the row on train, scores validation and test
                record(experiment, cell, task)
    return conclude(experiment) if rank() == 0 else experiment.folder


def prepare(composed: DictConfig, point: Mapping[str, Any] | None = None) -> Experiment | None:
    """Read the data, split it, encode every document once, and open the record.

    If the configuration asks only for an estimate, print the estimate and return None.
    """
    config = cast(MatchConfig, as_config(composed))
    resolved = cast(dict[str, Any], OmegaConf.to_container(composed, resolve=True))
    dataset: Dataset = make(config.data)
    splits, about_splits = make_splits(config, dataset)
    rows = rows_of(config)
    check_objectives(rows, dataset)
    if config.match_parameters:
        check_widths(rows, dataset)
    if config.estimate:
        main = {seed: split for (kind, seed), split in splits.items() if kind == config.split.kind}
        show_rows(rows, dataset, main, config)
        return None
    encoded = encode_rows(rows, config, dataset, splits)
    if config.match_parameters:
        rows = with_equal_parameters(rows, next(iter(encoded.values())).encoder.dim)
    result = {key: value for key, value in resolved.items() if key not in NOT_THE_RESULT}
    facts = {
        "experiment": config.experiment,
        "baseline": config.baseline,
        "config": resolved,
        "config_hash": records.config_hash(result),
        "git": records.git_state(),
        "versions": records.versions(),
        "data": {"name": dataset.name, **dataset.facts},
        "encodings": [e.report.summary() for e in dict.fromkeys(encoded.values())],
        "experiences": next((x for e in encoded.values() if (x := e.report.experiences)), {}),
        "splits": about_splits,
        **({"sweep": dict(point)} if point else {}),
    }
    folder = Path(from_first(str(_folder(config, result)) if rank() == 0 else ""))
    tracker = make_tracker(
        config.tracker if rank() == 0 else "none", folder, config.experiment, resolved
    )
    lines = from_first(records.lines_so_far(folder) if rank() == 0 else None)
    if rank() == 0:
        ablation.show_facts(facts, folder)
    each = dict.fromkeys(encoded.values())
    bench = Bench(
        dataset,
        splits,
        vectors={e.vectors_hash: e.matrices for e in each},
        months={e.vectors_hash: e.months for e in each if e.months},
        tokens={
            encoded[row.name, seed].vectors_hash: encoded[row.name, seed].tokens
            for row in rows
            for seed in config.seeds
            if reads_words(row)
        },
        device=next(iter(each)).encoder.device,
        attribution=config.split.kind if config.attribution else "",
        store=Path(config.cache_dir) / "cells",
    )
    done = {(line["variant"], line["split"], line["seed"]): line for line in lines}
    return Experiment(config, dataset, splits, rows, encoded, facts, folder, tracker, done, bench)


def record(experiment: Experiment, cell: Cell, task: Task) -> None:
    """Compute the figures of a cell and append its line to the record, unless it has that line.

    The checkpoints of a finished cell are removed.
    """
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
    if task.row is not None and rank() == 0:
        shutil.rmtree(checkpoints_of(experiment, task), ignore_errors=True)


def conclude(experiment: Experiment) -> Path:
    """Write the table and the figures, and give the folder its final name."""
    folder, facts, config = experiment.folder, experiment.facts, experiment.config
    facts["cells"] = {"made": experiment.fresh, "all": len(experiment.lines)}
    facts |= _pretrained_facts(experiment)
    facts |= experience_summary.facts_of(
        experiment.first.report.experiences.get("reference"),
        experiment.dataset,
        experiment.splits,
        config,
        folder,
        experiment.lines,
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
        _draw_requirements(experiment, lines)
        training_figures.draw(folder, lines, predictions)
        scaling_figure.draw(folder, _points(experiment, table))
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    folder = records.finish_record(folder)
    ablation.show(table, folder)
    return folder


def _draw_requirements(experiment: Experiment, lines: Sequence[Mapping[str, Any]]) -> None:
    """Write requirements.png: which line of a CV meets which line of a JD, for one test pair.

    The pair is of the row with the most parameters whose scorer has `evidence`. Without such a row,
    nothing is written.
    """
    shown = [line for line in lines if line.get("requirements") and line["kind"] == "variant"]
    if not shown:
        return
    line = max(shown, key=lambda line: line["parameters"])
    example = dict(line["requirements"])
    cv, jd = (
        experiment.encoded[line["variant"], line["seed"]].documents[example.pop(side)]
        for side in ("cv", "jd")
    )
    ids = f"{cv.document.id[:9]} for {jd.document.id[:9]}"
    title = f"{ids}, row '{line['variant']}': score {example.pop('score'):.2f}"
    found = with_texts(Numbers(**example), cv, jd)
    requirements_figure.draw(experiment.folder / "requirements.png", found.each, title)


def _pretrained_facts(experiment: Experiment) -> dict[str, Any]:
    """Compute the recall by chunk vectors of each encoder, if rows are pretrained.

    The pretrained encoders and a figure of their training are written into the record.
    """
    config, rows = experiment.config, {row.name: row for row in experiment.rows}
    chosen = next((row for row in experiment.rows if row.pretrained), None)
    if chosen is None:
        return {}
    same = (chosen.encoder, chosen.chunking)
    plain = next(
        (r for r in rows.values() if not r.pretrained and (r.encoder, r.chunking) == same), None
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
            {key: e.matrices for key, e in experiment.encoded.items()},
            experiment.dataset,
            splits,
            names,
            next(iter(names)),
        )
    return {"retrieval": found}


def _points(experiment: Experiment, table: Table) -> list[scaling_figure.Point]:
    """Return quality against operations, if rows differ in the size of their encoder."""
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
            {metric: spread(table.values(name, metric)) for metric in HEADLINE},
        )
        for name, line in lines.items()
    ]


def _folder(config: MatchConfig, result: dict[str, Any]) -> Path:
    """Return a new folder of records, or the unfinished folder that `resume` continues."""
    unfinished = None
    if config.resume:
        unfinished = records.unfinished(config.runs_dir, config.experiment, result)
    return unfinished or records.start_record(config.runs_dir, config.experiment, result)
