"""Show the ablation table on the terminal, and write it as table.md and table.json."""

import json
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import OmegaConf
from rich.console import Console
from rich.table import Table as RichTable

from experiments.report.table import Table, as_json, faithfulness, learnt_half_lives, notes
from jdcv_core import records
from jdcv_core.evaluation.formats import (
    UNDEFINED,
    difference,
    interval,
    short,
    sign,
    undefined,
    with_spread,
)
from jdcv_core.evaluation.intervals import spread
from jdcv_core.evaluation.metrics import METRICS, meaning, of_table

MAIN, RANKING = of_table("main"), of_table("ranking")
WIDTH = 400
"""Width of the console in characters: long lines can be scrolled, wrapped tables are unreadable."""
DIFFERENCES = (
    "Difference to the baseline with its 95% interval (bootstrap over JDs and seeds), and p after "
    "Holm's correction over the variants; p is the larger one of a permutation test over JDs and "
    "of the interval's t test. tie: the interval includes 0. tie (Holm): the interval excludes 0, "
    "but p is not below .05. If AUC rises and AUC in CV does not, the gain is a shortcut: the "
    "scorer has learned which CVs fit often, not which JD a CV fits."
)


def legend(table: Table) -> str:
    """Explain the headings of the main table."""
    meanings = ". ".join(f"{m.heading}: {meaning(name, table.classes)}" for name, m in MAIN.items())
    return (
        f"Mean ± sample standard deviation over seeds, on test pairs. {meanings}. Cuts between "
        "classes are tuned on validation. train s: seconds of training; trained: number "
        "of trained parameters."
    )


def show_facts(facts: dict[str, Any], folder: Path) -> None:
    """Print the notes and the record's folder before the first training."""
    console = Console()
    for note in notes(facts):
        console.print(f"• {note}", soft_wrap=True, highlight=False, markup=False)
    console.print(f"• Records: {folder}", soft_wrap=True, highlight=False, markup=False)


def show(table: Table, folder: Path) -> None:
    """Print the tables on the terminal."""
    console, wide = Console(), Console(width=WIDTH)
    for title, head, rows in grids(table):
        grid = RichTable(title=title, title_justify="left", box=None)
        grid.add_column(head[0], no_wrap=True)
        for heading in head[1:]:
            grid.add_column(heading, justify="right", no_wrap=True)
        for cells in rows:
            grid.add_row(*cells, style="bold" if cells[0].endswith("(baseline)") else None)
        wide.print()
        wide.print(grid, highlight=False, markup=False, crop=False)
    console.print(f"\n{legend(table)}\n{DIFFERENCES}", style="dim", highlight=False, markup=False)
    for sentence in conclusions(table):
        console.print(f"• {sentence}", highlight=False, soft_wrap=True, markup=False)
    console.print(f"Table, figures, predictions: {folder}", highlight=False, soft_wrap=True)


def write(
    folder: Path, table: Table, facts: dict[str, Any], predictions: Mapping[str, np.ndarray]
) -> None:
    """Write table.md, table.json, facts.json, predictions.parquet and config.yaml."""
    command = "python experiments/run.py " + " ".join(
        shlex.quote(word)
        for word in sys.argv[1:]
        if not word.startswith(("runs_dir=", "cache_dir=", "resume=", "reuse="))
    )
    about = {key: value for key, value in facts.items() if key != "config"}
    records.write_text(folder, "table.md", markdown(table, facts))
    content = as_json(table, command) | {"sweep": facts.get("sweep")}
    records.write_text(folder, "table.json", _json(content, indent=None))
    records.write_text(folder, "facts.json", _json(about, indent=1))
    records.write_predictions(folder, predictions)
    resolved = OmegaConf.to_yaml(OmegaConf.create(facts["config"]))
    records.write_text(folder, "config.yaml", resolved)


def markdown(table: Table, facts: dict[str, Any]) -> str:
    """Return what `show` prints as Markdown, with the notes."""
    commit = (facts["git"] or {}).get("commit", "none")
    dirty = " with uncommitted changes" if (facts["git"] or {}).get("dirty") else ""
    lines = [f"# {table.experiment}", ""]
    lines += [f"- {note}" for note in notes(facts)]
    lines += [f"- Configuration {facts['config_hash']}, commit {commit[:12]}{dirty}.", ""]
    for title, head, rows in grids(table):
        lines += [f"**{title}**", "", *_grid(head, rows), ""]
    lines += [legend(table), "", DIFFERENCES, ""]
    return "\n".join([*lines, *(f"- {sentence}" for sentence in conclusions(table)), ""])


def grids(table: Table) -> list[tuple[str, list[str], list[list[str]]]]:
    """Return title, heading and rows of each table to show."""
    found = [
        (
            f"{table.experiment}: test figures, split '{table.splits[0]}'",
            ["", *(m.heading for m in MAIN.values()), "train s", "trained"],
            [[_label(table, n), *_figures(table, n)] for n in table.names],
        ),
        (
            "Against the baseline",
            ["against the baseline", *(METRICS[m].heading for m in table.compared)],
            [
                [name, *(difference(by_metric[m]) for m in table.compared)]
                for name, by_metric in table.differences[table.splits[0]].items()
            ],
        ),
        (
            "Ranking and calibration",
            ["", *(m.heading for m in RANKING.values())],
            [[_label(table, n), *(_second(table, n, m) for m in RANKING)] for n in table.names],
        ),
    ]
    if len(table.splits) > 1:
        found.append(_beside(table))
    if table.retrieval:
        found.append(
            (
                "Retrieval by chunk vectors alone: the Good Fits of a JD among all test CVs",
                ["encoder", "recall@10", "against the first"],
                [_retrieved(line) for line in table.retrieval],
            )
        )
    if table.half_life:
        found.append(
            (
                "Half-life of experience, in months",
                ["from", "half-life", "loss", "loss without age"],
                _half_lives(table),
            )
        )
    explained = {n: f for n in table.names if (f := faithfulness(table.lines(n)))}
    if explained:
        methods = list(dict.fromkeys(m for f in explained.values() for m in f))
        found.append(
            (
                "Attribution: drop of the score by deleting CV chunks in its order, minus random",
                ["", *methods],
                [[n, *(_faithful(f.get(m)) for m in methods)] for n, f in explained.items()],
            )
        )
    return found


def _half_lives(table: Table) -> list[list[str]]:
    """Return rows with the half-life from words and the half-lives that scorers learned."""
    words = table.half_life
    head = f"words of the training pairs, seed {words['seed']}"
    rows = [[head, words["text"], f"{words['loss']:.4f}", f"{words['loss_without_age']:.4f}"]]
    for name in table.names:
        learnt = learnt_half_lives(table.lines(name))
        if learnt:
            mean, deviation = spread(learnt)
            shown = f"{mean:.1f}" if deviation is None else f"{mean:.1f}±{deviation:.1f}"
            rows.append([f"{name} (vectors)", shown, "", ""])
    return rows


def conclusions(table: Table) -> list[str]:
    """Write sentences about the smallest difference and the best figure that the data can show."""
    said = []
    for split in table.splits:
        smallest = ", ".join(
            f"{METRICS[m].heading} {short(value)}"
            for m, value in table.detectable[split].items()
            if not undefined(value)
        )
        if smallest:
            said.append(
                f"Split '{split}': the smallest difference that this data would have detected with "
                f"80% power (median of the variants): {smallest}."
            )
    best = ", ".join(f"{a}: {c['macro_f1']:.3f}" for a, c in table.ceilings.items())
    said.append(f"Best macro-F1 of any model if labels agree with the truth in a share of {best}.")
    return said


def _beside(table: Table) -> tuple[str, list[str], list[list[str]]]:
    """Return a table of the metrics on all splits, with the sign of the verdict on each."""
    shown = [m for m in ("weighted_f1", "auc_good", "auc_within_cv", "ndcg") if m in table.compared]
    head = ["", *(f"{METRICS[m].heading} {split}" for m in shown for split in table.splits)]
    rows = []
    for name in table.names:
        cells = []
        for metric in shown:
            for split in table.splits:
                mean = spread(table.values(name, metric, split))[0]
                found = table.differences[split].get(name)
                cells.append(f"{short(mean)} {sign(found[metric]) if found else ''}".rstrip())
        rows.append([_label(table, name), *cells])
    title = "Splits side by side (+ better, - worse, = tie, against the baseline of the same split)"
    return title, head, rows


def _grid(head: list[str], rows: list[list[str]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)]


def _label(table: Table, name: str) -> str:
    return f"{name} (baseline)" if name == table.baseline else name


def _figures(table: Table, name: str) -> list[str]:
    cells = [_spread(table.values(name, metric)) for metric in MAIN]
    lines = table.lines(name)
    if "train_seconds" not in lines[0]:
        return [*cells, "", ""]
    seconds = np.mean([line["train_seconds"] for line in lines])
    return [*cells, f"{seconds:.1f}", f"{lines[0]['parameters']:,}"]


def _faithful(found: Mapping[str, float] | None) -> str:
    return interval(found["against_random"], found["low"], found["high"]) if found else UNDEFINED


def _retrieved(line: Mapping[str, Any]) -> list[str]:
    against = line.get("against")
    difference_shown = (
        "" if against is None else interval(*(against[k] for k in ("difference", "low", "high")))
    )
    return [line["encoder"], with_spread(line["recall"], line["sd"]), difference_shown]


def _second(table: Table, name: str, metric: str) -> str:
    values = table.values(name, metric)
    return f"{np.mean(values):g}" if metric == "k" else _spread(values)


def _spread(values: list[float]) -> str:
    return with_spread(*spread(values))


def _json(content: Any, indent: int | None) -> str:
    text = json.dumps(records.plain(content), indent=indent, ensure_ascii=False, allow_nan=False)
    return text + "\n"
