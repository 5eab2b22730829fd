"""Recipe sweep: run an experiment at every point of a grid, or under named conditions, and show the
best row of each.
"""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf

from experiments import validate
from experiments.figures import sweep_figure
from experiments.recipes import match
from experiments.report import conditions
from experiments.schema import NOT_THE_RESULT
from jdcv_core import records
from jdcv_core.errors import InputError
from jdcv_core.progress import console, progress


def run(composed: DictConfig) -> Path | None:
    """Run `recipes.match` at every point; return the summary's folder (None after an estimate).

    The points are those of the grid `sweep`, or the `conditions`, each by its name.
    Each point is a separate experiment, `runs/<experiment>/<point>/`. Cells that were trained
    before are reused, so repeating a stopped sweep continues it. The summary consists of
    sweep.json, with the table of every point, and sweep.png. Under named conditions with the floor
    TF-IDF + logistic regression, conditions.md and conditions.png compare every row with it. If all
    conditions change the same keys, curve.md and curve.png show every row over them.
    Raises InputError for an unknown key before anything runs.
    """
    points = _points(composed)
    configs = [_at(composed, point, changes) for point, changes in points]
    made = []
    for number, ((point, _), config) in enumerate(zip(points, configs, strict=True), start=1):
        console.print(f"Point {number} of {len(points)}: {_name(point)}", highlight=False)
        folder = match.run(config, point)
        if folder is not None:
            made.append(folder)
    if not made:
        return None
    tables = [json.loads((f / "table.json").read_text(encoding="utf-8")) for f in made]
    resolved = cast(dict[str, Any], OmegaConf.to_container(composed, resolve=True))
    kept = {key: value for key, value in resolved.items() if key not in NOT_THE_RESULT}
    folder = records.start_record(composed.runs_dir, composed.experiment, kept)
    records.write_text(folder, "sweep.json", json.dumps(tables, indent=1, ensure_ascii=False))
    records.write_text(folder, "config.yaml", OmegaConf.to_yaml(OmegaConf.create(resolved)))
    sweep_figure.draw(folder, tables)
    if composed.conditions and "tfidf_logistic" in composed.floors:
        with progress("Intervals over conditions", None):
            found = [conditions.read(f) for f in made]
        records.write_text(folder, "conditions.md", conditions.as_markdown(found))
        conditions.draw(folder / "conditions.png", found)
        if (key := _axis(points)) is not None:
            records.write_text(folder, "curve.md", conditions.curve_table(found))
            conditions.draw_curve(folder / "curve.png", found, key)
    folder = records.finish_record(folder)
    sweep_figure.show(tables, folder)
    return folder


def _points(composed: DictConfig) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """List what a record says of each point, and the keys that the point changes."""
    grid = cast(dict[str, list[Any]], OmegaConf.to_container(composed.sweep))
    named = cast(dict[str, dict[str, Any]], OmegaConf.to_container(composed.conditions))
    if grid and named:
        cure = "remove one of them"
        raise InputError("conditions", "a sweep is given, too", cure)
    if named:
        return [({"condition": name}, changes) for name, changes in named.items()]
    places = [dict(zip(grid, values, strict=True)) for values in product(*grid.values())]
    return [(place, place) for place in places]


def _axis(points: list[tuple[dict[str, Any], dict[str, Any]]]) -> str | None:
    """Return, in words, the key that all points change, or the group of several such keys.

    None if some point changes other keys, or if the keys are of several groups.
    """
    keys, *others = ({*changes} for _, changes in points)
    if not keys or any(other != keys for other in others):
        return None
    named = keys if len(keys) == 1 else {key.rpartition(".")[0] for key in keys}
    return named.pop().rpartition(".")[2].replace("_", " ") if len(named) == 1 else None


def _at(composed: DictConfig, point: dict[str, Any], changes: dict[str, Any]) -> DictConfig:
    """Return the configuration of one point."""
    config = composed.copy()
    for key, value in changes.items():
        parent, _, last = key.rpartition(".")
        if last not in ((OmegaConf.select(config, parent) if parent else config) or {}):
            where = f"conditions.{point['condition']}" if composed.conditions else "sweep"
            cure = "write it as on the command line"
            raise InputError(f"{where}.{key}", "there is no such key", cure)
        OmegaConf.update(config, key, value)
    config.sweep, config.conditions = {}, {}
    config.experiment = f"{composed.experiment}/{_name(point)}"
    validate.settings(config)
    return config


def _name(point: dict[str, Any]) -> str:
    return ",".join(f"{key.rpartition('.')[2]}={value}" for key, value in point.items())
