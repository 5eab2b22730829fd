"""Compare the rows of several experiments with one row: a table and a figure over conditions.

    python -m experiments.report.conditions FOLDER ... [--against ROW] [--figure FILE]

A folder is the record of one experiment, `runs/EXPERIMENT/ID`. The command prints the test figures
of every record, and the differences to ROW (default: TF-IDF + logistic regression), as Markdown;
with --figure it also draws the differences. An experiment under named conditions does both by
itself.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as parquet

from experiments.cells.train_cell import FLOOR_NAMES
from experiments.figures import conditions_figure, curve_figure
from jdcv_core.errors import InputError, nearest
from jdcv_core.evaluation.compare import Comparison, compare
from jdcv_core.evaluation.formats import difference, with_spread
from jdcv_core.evaluation.intervals import spread
from jdcv_core.evaluation.metrics import HEADLINE, METRICS

WORDS = FLOOR_NAMES["tfidf_logistic"]
SIGNED = ("better", "worse")


@dataclass(frozen=True)
class Condition:
    """The rows of one record against one of them.

    name:    of the condition, or of the experiment if it was run under one condition only
    kinds:   row name → floor, variant, falsifier or ceiling, in the order of the record
    found:   differences to the row, with Holm's correction over the variants
    """

    name: str
    kinds: dict[str, str]
    found: Comparison

    @property
    def variants(self) -> list[str]:
        """The variants that are compared."""
        return [name for name in self.found if self.kinds[name] == "variant"]


def read(folder: Path, against: str = WORDS) -> Condition:
    """Read a record; InputError if it has no predictions, or no such row."""
    path = folder / "predictions.parquet"
    if not path.is_file():
        cure = "give the folder of a finished experiment, runs/EXPERIMENT/ID"
        raise InputError(str(folder), "it has no predictions.parquet", cure)
    about = json.loads((folder / "table.json").read_text(encoding="utf-8"))
    kinds = {row["name"]: row["kind"] for row in about["rows"]}
    if against not in kinds:
        what = f"it has no row {against!r}"
        raise InputError(str(folder), what, nearest(against, list(kinds)))
    table = parquet.read_table(path)
    table = table.filter(pc.equal(table["split"], about["main_split"]))
    rows = {name: table.filter(pc.equal(table["variant"], name)) for name in kinds}
    family = [name for name, kind in kinds.items() if kind == "variant"]
    found = compare(rows, against, metrics=HEADLINE, family=family)
    point: dict[str, Any] = about.get("sweep") or {}
    name = ", ".join(str(value) for value in point.values()) or about["experiment"]
    return Condition(name.replace("_", " "), kinds, found)


def as_markdown(conditions: Sequence[Condition]) -> str:
    """Format both tables, with a heading each."""
    (against,) = {condition.found.baseline for condition in conditions}
    parts = ["# Test figures", figures_table(conditions)]
    parts += [f"# Differences to {against}", differences_table(conditions)]
    return "\n\n".join(parts) + "\n"


def figures_table(conditions: Sequence[Condition]) -> str:
    """Format the mean and the deviation over seeds of every row, as Markdown."""
    lines = [["condition", "row", *(METRICS[m].heading for m in HEADLINE)]]
    for condition in conditions:
        for name in condition.kinds:
            values = condition.found.per_seed[name]
            cells = [with_spread(*spread(values[metric])) for metric in HEADLINE]
            lines.append([condition.name, name, *cells])
    return _markdown(lines)


def differences_table(conditions: Sequence[Condition]) -> str:
    """Format the differences of the variants with intervals, p and verdicts, as Markdown."""
    lines = [["condition", "row", *(METRICS[m].heading for m in HEADLINE)]]
    for condition in conditions:
        for name in condition.variants:
            cells = [_with_verdict(condition.found[name][metric]) for metric in HEADLINE]
            lines.append([condition.name, name, *cells])
    return _markdown(lines)


def curve_table(conditions: Sequence[Condition]) -> str:
    """Format a table for each metric, as Markdown: one line a row, one column a condition."""
    parts = []
    for metric in HEADLINE:
        lines = [[METRICS[metric].heading, *(condition.name for condition in conditions)]]
        for row in shared(conditions):
            values = (condition.found.per_seed[row][metric] for condition in conditions)
            lines.append([row, *(with_spread(*spread(own)) for own in values)])
        parts.append(_markdown(lines))
    return "\n\n".join(parts) + "\n"


def draw_curve(path: Path, conditions: Sequence[Condition], key: str) -> None:
    """Draw the figures of all rows over the conditions, which change one key.

    Of the floors, only the row that the others are compared with is drawn.
    """
    against = conditions[0].found.baseline
    kinds = {name: conditions[0].kinds[name] for name in shared(conditions)}
    kinds = {name: kind for name, kind in kinds.items() if kind != "floor" or name == against}
    curve_figure.draw(path, {c.name: c.found.per_seed for c in conditions}, kinds, key)


def shared(conditions: Sequence[Condition]) -> list[str]:
    """List the rows that all conditions have."""
    return [name for name in conditions[0].kinds if all(name in c.kinds for c in conditions)]


def _with_verdict(found: dict[str, Any]) -> str:
    return difference(found) + (f" {found['verdict']}" if found["verdict"] in SIGNED else "")


def _markdown(lines: list[list[str]]) -> str:
    """Format lines whose first is the heading; a condition is named in its first line only."""
    head, *rows = lines
    seen = [""] + [row[0] for row in rows]
    rows = [
        ["" if row[0] == last else row[0], *row[1:]] for row, last in zip(rows, seen, strict=False)
    ]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [head, ["---"] * len(head), *rows])


def draw(path: Path, conditions: Sequence[Condition]) -> None:
    """Draw the differences of the variants that all conditions have."""
    rows = [name for name in shared(conditions) if name in conditions[0].variants]
    conditions_figure.draw(path, {c.name: c.found for c in conditions}, rows)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER")
    parser.add_argument("--against", default=WORDS, metavar="ROW")
    parser.add_argument("--figure", type=Path, metavar="FILE")
    given = parser.parse_args()
    conditions = [read(folder, given.against) for folder in given.folders]
    print(as_markdown(conditions))
    if given.figure:
        draw(given.figure, conditions)


if __name__ == "__main__":
    main()
