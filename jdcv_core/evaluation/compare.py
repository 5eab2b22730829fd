"""The protocol that decides whether a row of a table is better, worse or a tie.

    print(compare({"mean": predictions, "chunk attention": others}, baseline="mean"))

Intervals over JDs and seeds are in `intervals`, the permutation test and Holm's correction in
`significance`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jdcv_core.evaluation.formats import difference, with_spread
from jdcv_core.evaluation.intervals import Estimate, equal_jds, resampled_counts, spread
from jdcv_core.evaluation.metrics import COMPARED, METRICS, check_compared
from jdcv_core.evaluation.resampling import (
    COLUMNS,
    ON_CLASSES,
    check_same_rows,
    figures,
    sorted_columns,
)
from jdcv_core.evaluation.significance import detectable, draw_signs, holm, permutation_p, swapped
from jdcv_core.evaluation.significance import verdict as verdict_of


@dataclass(frozen=True)
class Comparison(Mapping[str, dict[str, dict[str, Any]]]):
    """The result of `compare`: a mapping row name → metric → figures. It prints itself.

    baseline: name of the row that the others are compared with
    metrics:  names of the metrics, in order
    per_seed: row name → metric → the value on each seed; includes the baseline
    found:    row name → metric → difference, low, high, p_holm, verdict, …; without the baseline
    """

    baseline: str
    metrics: tuple[str, ...]
    per_seed: Mapping[str, Mapping[str, list[float]]]
    found: Mapping[str, dict[str, dict[str, Any]]]

    def __getitem__(self, name: str) -> dict[str, dict[str, Any]]:
        return self.found[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.found)

    def __len__(self) -> int:
        return len(self.found)

    def verdict(self, name: str, metric: str) -> str:
        """Return "better", "worse", "tie" or "tie (Holm)"; for the baseline, return "tie"."""
        return "tie" if name == self.baseline else self.found[name][metric]["verdict"]

    def grid(self) -> list[list[str]]:
        """Return the cells of the table by rows, the heading first."""
        head = [""]
        for metric in self.metrics:
            head += [METRICS[metric].heading, f"against {self.baseline}"]
        rows = [head]
        for name, values in self.per_seed.items():
            cells = [name]
            for metric in self.metrics:
                cells.append(with_spread(*spread(values[metric])))
                own = self.found.get(name)
                cells.append("baseline" if own is None else _with_verdict(own[metric]))
            rows.append(cells)
        return rows

    def to_markdown(self) -> str:
        """Format the table as Markdown."""
        head, *rows = self.grid()
        lines = [head, ["---"] * len(head), *rows]
        return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)

    def __str__(self) -> str:
        grid = self.grid()
        widths = [max(len(row[at]) for row in grid) for at in range(len(grid[0]))]
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in grid
        )

    _repr_markdown_ = to_markdown


def compare(
    tables: Mapping[str, Any],
    baseline: str,
    *,
    metrics: Sequence[str] | None = None,
    family: Sequence[str] | None = None,
    replicates: int = 2000,
    permutations: int = 2000,
    random_seed: int = 0,
    level: float = 0.95,
    k: int = 10,
) -> Comparison:
    """Compare every row with the baseline by one protocol; the result prints itself.

    tables:   row name → predictions: a mapping (or pandas DataFrame, or pyarrow Table) with the
              columns jd, cv, label (index into LABELS) and score [row], one test pair a row; with
              `predicted` (index into LABELS) for metrics on classes, and with `seed` if there are
              several trainings. Every table has the same (seed, jd, cv) rows, in any order
    baseline: name of the row that the others are compared with
    metrics:  names from `metrics.COMPARED`; None means all that the columns allow
    family:   rows that are hypotheses; floors and a ceiling are not. None means all but the
              baseline
    permutations: smallest number of permutations; it is increased if the family is so large that no
              row could pass Holm's first step
    replicates, random_seed, level, k: see `intervals.paired_bootstrap`

    The result has for each row and metric
    difference, low, high, se, df: see `intervals.paired_bootstrap`
    p_permutation: p-value of `significance.paired_permutation`; it accounts for the sampling of JDs
                but not for the small number of seeds
    p_interval: two-sided p-value of the interval's t test, with the degrees of freedom of
                `Estimate.df_cautious`; it accounts for JDs and seeds, and assumes a t distribution
    p:          the larger of the two, so a row must pass both tests
    p_holm:     p adjusted by Holm over the family, for each metric separately; nan outside it
    detectable: the smallest true difference that would be found in 80% of such data, at the first
                step of Holm (outside the family: without Holm)
    verdict:    "better" or "worse" if the interval excludes 0 and p_holm < 1 - level, otherwise
                "tie" or "tie (Holm)"; see `significance.verdict`

    If the labels are No Fit and Good Fit only, macro_f1 is the mean over the two, and mae_classes
    and distant are nan.

    Raises KeyError if the baseline or a member of the family is not a row, and ValueError for a
    missing column, rows that do not match or occur twice, an unknown label or metric, and a score
    that is nan.

    >>> columns = {"jd": ["a"] * 4 + ["b"] * 4, "cv": list("wxyzwxyz"), "label": [0, 0, 2, 2] * 2}
    >>> mean = columns | {"score": [0.4, 0.3, 0.5, 0.2, 0.1, 0.6, 0.7, 0.3]}
    >>> other = columns | {"score": [0.1, 0.2, 0.8, 0.9, 0.2, 0.1, 0.9, 0.8]}
    >>> found = compare({"mean": mean, "other": other}, baseline="mean", metrics=["auc_good"])
    >>> found.verdict("other", "auc_good"), round(found["other"]["auc_good"]["difference"], 3)
    ('tie', 0.406)
    >>> print(found.to_markdown().splitlines()[0])
    |  | AUC | against mean |
    """
    complete = {name: _complete(table) for name, table in tables.items()}
    if metrics is None:
        classes = all("predicted" in table for table in complete.values())
        metrics = [m for m in COMPARED if classes or m not in ON_CLASSES]
    check_compared(metrics)
    if not set(metrics) & set(ON_CLASSES):  # predicted classes are not needed
        complete = {
            name: {"predicted": np.zeros(len(table["score"]), int), **table}
            for name, table in complete.items()
        }
    others = [name for name in tables if name != baseline]
    family = others if family is None else [name for name in family if name != baseline]
    for name in (baseline, *family):
        if name not in tables:
            raise KeyError(f"no row {name!r}; rows: {', '.join(tables)}")
    base = sorted_columns(complete[baseline])
    counts = resampled_counts(base, replicates, random_seed)
    enough = int(np.ceil(2 * len(family) / (1 - level)))  # the least p is half the required p
    signs = draw_signs(counts.shape[1], max(permutations, enough), random_seed)
    theirs = figures(base, metrics, counts, k)
    result: dict[str, dict[str, dict[str, Any]]] = {}
    values = {name: {} if name != baseline else _on_each_seed(theirs) for name in tables}
    for name in others:
        rows = sorted_columns(complete[name])
        check_same_rows(rows, base)
        ours, exchanged = figures(rows, metrics, counts, k), swapped(rows, base, metrics, signs, k)
        of_holm = len(family) if name in family else 1
        values[name] = _on_each_seed(ours)
        result[name] = {}
        for metric in metrics:
            found = Estimate.of(ours[metric] - theirs[metric], *equal_jds(base))
            p_permutation, p_interval = permutation_p(exchanged[metric]), found.p()
            result[name][metric] = {
                "difference": found.value,
                **found.interval(level),
                "p_permutation": p_permutation,
                "p_interval": p_interval,
                "p": float(np.maximum(p_permutation, p_interval)),  # nan if one of them is nan
                "detectable": detectable(
                    found.se, level=level, df=found.df_cautious, comparisons=of_holm
                ),
            }
    for metric in metrics:
        adjusted = holm({name: result[name][metric]["p"] for name in family})
        for name in others:
            line = result[name][metric]
            line["p_holm"] = adjusted.get(name, np.nan)
            line["verdict"] = verdict_of(line, line["p_holm"], metric, level)
    return Comparison(baseline, tuple(metrics), values, result)


def _complete(table: Any) -> dict[str, Any]:
    """Return the known columns of a table as arrays; seed is 0 if the table has no seeds."""
    names = table.column_names if hasattr(table, "column_names") else list(table)
    columns = {name: np.asarray(table[name]) for name in COLUMNS if name in names}
    if "score" in columns:
        columns.setdefault("seed", np.zeros(len(columns["score"]), int))
    return columns


def _on_each_seed(values: Mapping[str, np.ndarray]) -> dict[str, list[float]]:
    """Return the value of each metric on all rows of each seed, which is the first replicate."""
    return {metric: replicates[0].tolist() for metric, replicates in values.items()}


def _with_verdict(found: Mapping[str, Any]) -> str:
    shown = difference(found)
    verdict = found["verdict"]
    return shown if verdict.startswith("tie") or shown == "n/a" else f"{shown}  {verdict}"
