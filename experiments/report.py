"""The ablation table: on the terminal and as table.md, out of the lines of the record."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import OmegaConf
from rich.console import Console
from rich.table import Table as RichTable

from jdcv_core import records
from jdcv_core.evaluation.statistics import paired_bootstrap, spread

# key of a metric, its heading
METRICS = (
    ("weighted_f1", "wF1"),
    ("macro_f1", "mF1"),
    ("f1_no", "F1 No"),
    ("f1_potential", "F1 Pot"),
    ("f1_good", "F1 Good"),
    ("qwk", "QWK"),
    ("mae_classes", "MAE"),
    ("distant", "far"),
    ("auc_good", "AUC"),
    ("ndcg", "nDCG@10"),
)
COMPARED = (
    ("weighted_f1", "wF1"),
    ("distant", "far"),
    ("auc_good", "AUC"),
    ("ndcg", "nDCG@10"),
)
WIDTH = 158
LEGEND = (
    "Mean ± sample standard deviation over seeds, on test pairs. wF1, mF1: F1 weighted by class "
    "frequency, and unweighted. QWK: quadratic weighted kappa. MAE: mean error in classes. far: "
    "share of pairs with No for Good or Good for No. AUC: Good Fit against the rest. nDCG@10: per "
    "JD, over its test pairs, grades 0 to 2. Cuts between classes are tuned on validation. train "
    "s: seconds of training; trained: numbers that it changed."
)
DIFFERENCES = (
    "Difference to the baseline with its 95% interval over seeds and JDs (paired bootstrap, 2,000 "
    "replicates); a tie where the interval includes 0."
)


@dataclass
class Table:
    """rows: the lines of each name, in order; differences: name → metric → difference, low, high;
    notes: sentences that a reader of the table must know."""

    experiment: str
    baseline: str
    rows: dict[str, list[dict[str, Any]]]
    differences: dict[str, dict[str, dict[str, float]]]
    notes: list[str]

    def values(self, name: str, metric: str) -> list[float]:
        return [line["metrics"][metric] for line in self.rows[name]]


def table(
    lines: list[dict[str, Any]], predictions: dict[str, list[Any]], facts: dict[str, Any]
) -> Table:
    """Group the lines by row, floors first, and compare every row with the baseline."""
    order = {"floor": 0, "variant": 1, "ceiling": 2}
    rows: dict[str, list[dict[str, Any]]] = {}
    for line in sorted(lines, key=lambda line: order[line["kind"]]):
        rows.setdefault(line["variant"], []).append(line)
    columns = {name: np.asarray(column) for name, column in predictions.items()}
    base = _rows_of(columns, facts["baseline"])
    metrics = [metric for metric, _ in COMPARED]
    differences = {
        name: paired_bootstrap(_rows_of(columns, name), base, metrics=metrics)
        for name in rows
        if name != facts["baseline"]
    }
    return Table(facts["experiment"], facts["baseline"], rows, differences, notes(facts))


def notes(facts: dict[str, Any]) -> list[str]:
    """What data, chunks and split mean for the table, one sentence each."""
    data = facts["data"]
    labels = ", ".join(f"{name} {count:,}" for name, count in data["label_counts"].items())
    said = [
        f"Data: {data['name']}, {data['pairs']:,} pairs of {data['cvs']} CVs and {data['jds']} JDs "
        f"({labels}); {data['duplicates_merged']} duplicates merged, {data['conflicts_dropped']} "
        "pairs with conflicting labels dropped."
    ]
    for encoding in facts["encodings"]:
        said += _encoding_notes(encoding)
    for seed, split in facts["splits"].items():
        said.append(
            f"Split '{split['kind']}', seed {seed}: "
            + ", ".join(f"{p} {split[p]['pairs']:,}" for p in ("train", "validation", "test"))
            + f" pairs, {split['discarded']:,} discarded; test has {split['test']['jds']} JDs and "
            f"{split['test']['labels']['Good Fit']} Good Fit; of its CVs "
            f"{split['test_cvs_in_train']:.0%} are also in train, of its JDs "
            f"{split['test_jds_in_train']:.0%}."
        )
    return said


def _encoding_notes(encoding: dict[str, Any]) -> list[str]:
    """What one encoder made of the documents."""
    chunks = encoding["chunk_counts"]
    said = [
        f"Chunks of at most {encoding['size']} tokens of {encoding['encoder']}: "
        + ", ".join(
            f"a {side.upper()} has {chunks[side]['median']:g} (median; most {chunks[side]['max']})"
            for side in ("cv", "jd")
        )
        + f"; encoded now: {encoding['documents_encoded']} of {encoding['documents']} documents in "
        f"{encoding['encoder_calls']} calls of the encoder."
    ]
    single = sum(chunks[side]["of_one_chunk"] for side in ("cv", "jd"))
    if single > 0.5 * encoding["documents"]:
        said.append(
            "Most documents have one chunk: a comparison of ways to combine chunks shows little "
            "here. Give a smaller chunking.size."
        )
    return said


def show_facts(facts: dict[str, Any], folder: Path) -> None:
    """What is about to happen, before the first training."""
    console = Console()
    for note in notes(facts):
        console.print(f"• {note}", soft_wrap=True, highlight=False, markup=False)
    console.print(f"• Records: {folder}", soft_wrap=True, highlight=False, markup=False)


def show(table: Table, folder: Path) -> None:
    """The table on the terminal."""
    console = Console()
    if console.width < WIDTH:  # a table that wraps cannot be read; a long line can be scrolled
        console = Console(width=WIDTH)
    console.print()
    grid = RichTable(title=f"{table.experiment}: test figures", title_justify="left", box=None)
    grid.add_column("", no_wrap=True)
    for heading in _headings():
        grid.add_column(heading, justify="right", no_wrap=True)
    for name in table.rows:
        style = "bold" if name == table.baseline else None
        grid.add_row(_label(table, name), *_figures(table, name), style=style)
    console.print(grid, highlight=False)
    compared = RichTable(title="Against the baseline", title_justify="left", box=None)
    compared.add_column("", no_wrap=True)
    for _, heading in COMPARED:
        compared.add_column(heading, no_wrap=True)
    for name, differences in table.differences.items():
        compared.add_row(name, *(_difference(differences[metric]) for metric, _ in COMPARED))
    console.print()
    console.print(compared, highlight=False)
    console.print(f"\n{LEGEND}\n{DIFFERENCES}", style="dim", highlight=False)
    console.print(f"Table, figures, predictions: {folder}", highlight=False, soft_wrap=True)


def write(
    folder: Path,
    table: Table,
    facts: dict[str, Any],
    predictions: dict[str, list[Any]],
    resolved: dict[str, Any],
) -> None:
    """table.md, predictions.parquet and config.yaml into the record's folder."""
    records.write_text(folder, "table.md", markdown(table, facts))
    records.write_predictions(folder, predictions)
    records.write_text(folder, "config.yaml", OmegaConf.to_yaml(OmegaConf.create(resolved)))


def markdown(table: Table, facts: dict[str, Any]) -> str:
    """The same as `show`, as Markdown, with the notes."""
    commit = (facts["git"] or {}).get("commit", "none")
    dirty = " with uncommitted changes" if (facts["git"] or {}).get("dirty") else ""
    lines = [f"# {table.experiment}", ""]
    lines += [f"- {note}" for note in table.notes]
    lines += [f"- Configuration {facts['config_hash']}, commit {commit[:12]}{dirty}.", ""]
    lines += _grid(
        ["", *_headings()], [[_label(table, n), *_figures(table, n)] for n in table.rows]
    )
    lines += ["", LEGEND, ""]
    lines += _grid(
        ["against the baseline", *(heading for _, heading in COMPARED)],
        [
            [name, *(_difference(d[metric]) for metric, _ in COMPARED)]
            for name, d in table.differences.items()
        ],
    )
    return "\n".join([*lines, "", DIFFERENCES, ""])


def _grid(head: list[str], rows: list[list[str]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)]


def _headings() -> list[str]:
    return [*(heading for _, heading in METRICS), "train s", "trained"]


def _label(table: Table, name: str) -> str:
    return f"{name} (baseline)" if name == table.baseline else name


def _figures(table: Table, name: str) -> list[str]:
    cells = [_spread(table.values(name, metric)) for metric, _ in METRICS]
    if table.rows[name][0]["kind"] != "variant":
        return [*cells, "", ""]
    seconds = np.mean([line["train_seconds"] for line in table.rows[name]])
    trained = [f"{seconds:.1f}", f"{table.rows[name][0]['parameters']:,}"]
    return [*cells, *trained]


def _spread(values: list[float]) -> str:
    mean, deviation = spread(values)
    if np.isnan(mean):
        return "n/a"
    return _short(mean) if np.isnan(deviation) else f"{_short(mean)}±{_short(deviation, 2)}"


def _short(value: float, digits: int = 3) -> str:
    """.512 for 0.512, -.034 for -0.034, 1.000 for 1."""
    text = f"{value:.{digits}f}"
    return text.replace("0.", ".", 1) if abs(value) < 1 else text


def _difference(figures: dict[str, float]) -> str:
    if np.isnan(figures["difference"]):
        return "n/a"
    low, high = figures["low"], figures["high"]
    tie = "  tie" if low <= 0 <= high else ""
    return f"{figures['difference']:+.3f} [{low:+.3f}, {high:+.3f}]{tie}"


def _rows_of(columns: dict[str, np.ndarray], name: str) -> dict[str, np.ndarray]:
    mine = columns["variant"] == name
    return {column: values[mine] for column, values in columns.items()}
