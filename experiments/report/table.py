"""Compute the ablation table: figures by row and split, and differences. It imports no torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jdcv_core.evaluation.calibration import reliability
from jdcv_core.evaluation.classification import classes_of
from jdcv_core.evaluation.compare import Comparison, compare
from jdcv_core.evaluation.intervals import spread
from jdcv_core.evaluation.label_noise import noise_ceiling
from jdcv_core.evaluation.metrics import METRICS, meaning
from jdcv_core.training.sampling import shares_of_classes
from jdcv_core.types import GOOD, LABELS, NO

ORDER = ("floor", "variant", "falsifier", "ceiling")
AGREEMENTS = (0.6, 0.7, 0.8, 0.9, 1.0)
"""Assumed agreements of labels with the truth, for which the best possible figure is shown."""

Lines = list[dict[str, Any]]


@dataclass
class Table:
    """The figures of an experiment.

    splits:      kinds of split; the first one is the main split
    rows:        split → name → the lines of its seeds; floors first, the ceiling last
    differences: split → name → metric → result of `compare`; without the baseline
    compared:    metrics of `differences`
    detectable:  split → metric → the smallest difference that the data could have detected, the
                 median over the variants
    notes:       sentences that a reader of the table must know
    ceilings:    agreement of labels with the truth → the best figures that any model can reach
    curves:      name → mean score, mean target and count in bins of the score, on the main split
    retrieval:   recall@10 of each encoder's chunk vectors (`pretrained_encoders.retrieval`); [] if
                 no encoder was pretrained
    half_life:   half-life of experience from the words of the training pairs
                 (`recipes.experience_summary`); {} if documents are not cut by experience
    classes:     number of classes of the labels
    """

    experiment: str
    baseline: str
    splits: list[str]
    compared: list[str]
    rows: dict[str, dict[str, Lines]]
    differences: dict[str, Comparison]
    detectable: dict[str, dict[str, float]]
    notes: list[str]
    ceilings: dict[str, dict[str, float]]
    curves: dict[str, dict[str, list[float]]]
    retrieval: list[dict[str, Any]]
    half_life: dict[str, Any]
    classes: int

    @property
    def names(self) -> list[str]:
        return list(self.rows[self.splits[0]])

    def kind(self, name: str) -> str:
        return self.rows[self.splits[0]][name][0]["kind"]

    def lines(self, name: str) -> Lines:
        """Return the lines of a row on the main split."""
        return self.rows[self.splits[0]][name]

    def values(self, name: str, metric: str, split: str | None = None) -> list[float]:
        """Return the value of a metric for each seed; nan where it is undefined."""
        lines = self.rows[split or self.splits[0]][name]
        found = [line["metrics"][metric] for line in lines]
        return [np.nan if value is None else value for value in found]


def make_table(
    lines: Lines,
    columns: Iterable[Mapping[str, np.ndarray]],
    facts: dict[str, Any],
    compared: Sequence[str],
) -> Table:
    """Group the lines by split and row, and compare every row with the baseline.

    columns: columns of predictions.parquet, one entry for each of `lines`
    """
    baseline = facts["baseline"]
    each = list(zip(lines, columns, strict=True))
    splits = list(dict.fromkeys(line["split"] for line in lines))
    rows: dict[str, dict[str, Lines]] = {}
    differences, detectable = {}, {}
    curves: dict[str, dict[str, list[float]]] = {}
    for split in splits:
        mine = sorted(
            [(line, c) for line, c in each if line["split"] == split],
            key=lambda both: ORDER.index(both[0]["kind"]),
        )
        tables: dict[str, list[Mapping[str, np.ndarray]]] = {}
        for line, cell in mine:
            rows.setdefault(split, {}).setdefault(line["variant"], []).append(line)
            tables.setdefault(line["variant"], []).append(cell)
        joined = {
            name: {c: np.concatenate([cell[c] for cell in cells]) for c in cells[0]}
            for name, cells in tables.items()
        }
        kinds = {name: found[0]["kind"] for name, found in rows[split].items()}
        family = [n for n, kind in kinds.items() if kind == "variant" and n != baseline]
        differences[split] = compare(joined, baseline, metrics=compared, family=family)
        detectable[split] = {
            metric: _detectable([differences[split][n][metric] for n in family])
            for metric in compared
            if family
        }
        if split == splits[0]:
            curves = {n: _curve(joined[n]) for n, kind in kinds.items() if kind != "floor"}
            labels = joined[baseline]["label"]
    shares = np.bincount(labels, minlength=3)[list(classes_of(labels))] / len(labels)
    ceilings = {f"{a:g}": noise_ceiling(shares, a) for a in AGREEMENTS}
    return Table(
        facts["experiment"], baseline, splits, list(compared), rows, differences, detectable,
        notes(facts), ceilings, curves, facts.get("retrieval", []), facts.get("half_life", {}),
        len(shares),
    )  # fmt: skip


def as_json(table: Table, command: str) -> dict[str, Any]:
    """Convert the table to plain values, for table.json."""
    rows = []
    for name in table.names:
        line = table.lines(name)[0]
        seconds = [x["train_seconds"] for x in table.lines(name) if "train_seconds" in x]
        rows.append(
            {
                "name": name,
                "kind": line["kind"],
                "target": line.get("target"),
                "parameters": line.get("parameters"),
                "train_seconds": float(np.mean(seconds)) if seconds else None,
                "figures": {
                    split: {m: _summary(table.values(name, m, split)) for m in METRICS}
                    for split in table.splits
                },
                "against": None
                if name == table.baseline
                else {split: _finite(table.differences[split][name]) for split in table.splits},
                "faithfulness": faithfulness(table.lines(name)),
                "half_life": learnt_half_lives(table.lines(name)),
            }
        )
    return {
        "experiment": table.experiment,
        "command": command,
        "baseline": table.baseline,
        "main_split": table.splits[0],
        "splits": table.splits,
        "seeds": [line["seed"] for line in table.lines(table.baseline)],
        "compared": table.compared,
        "classes": table.classes,
        "metrics": {
            n: {"heading": m.heading, "meaning": meaning(n, table.classes)}
            for n, m in METRICS.items()
        },
        "rows": rows,
        "detectable": table.detectable,
        "notes": table.notes,
        "noise_ceiling": table.ceilings,
        "reliability": table.curves,
        "retrieval": table.retrieval,
        "half_life": table.half_life,
    }


def faithfulness(lines: Lines) -> dict[str, dict[str, float]] | None:
    """Average the faithfulness of each attribution over seeds; None if it was not measured."""
    found = [line["faithfulness"] for line in lines if line.get("faithfulness")]
    if not found:
        return None
    return {
        method: {key: float(np.mean([f[method][key] for f in found])) for key in found[0][method]}
        for method in found[0]
    }


def learnt_half_lives(lines: Lines) -> list[float] | None:
    """Return the half-life in months that each seed's scorer learned; None if it learns none."""
    found = [line["learnt"]["half_life"] for line in lines if "half_life" in line.get("learnt", {})]
    return found or None


def notes(facts: dict[str, Any]) -> list[str]:
    """Describe data, chunks and splits in one sentence each."""
    data = facts["data"]
    counts = {name: count for name, count in data["label_counts"].items() if count}
    labels = ", ".join(f"{name} {count:,}" for name, count in counts.items())
    said = [
        f"Data: {data['name']}, {data['pairs']:,} pairs of {data['cvs']} CVs and {data['jds']} JDs "
        f"({labels}); {data['duplicates_merged']} duplicates merged, {data['conflicts_dropped']} "
        "pairs with conflicting labels dropped.",
    ]
    if note := labels_note(data):
        said.append(note)
    said += _binary_notes(facts)
    for encoding in facts["encodings"]:
        said += _encoding_notes(encoding)
    said += _experience_notes(facts.get("experiences", {}))
    for kind, seeds in facts["splits"].items():
        said += [_split_note(kind, seed, split) for seed, split in seeds.items()]
    said = list(dict.fromkeys(said))  # two encoders may name the same long document
    if cells := facts.get("cells"):
        said.append(f"Cells made now: {cells['made']} of {cells['all']}; the others were reused.")
    return said


def labels_note(data: Mapping[str, Any]) -> str:
    """Say how the labels were read; "" if they are the three names.

    data: the facts of a dataset

    >>> counts = {"No Fit": 9, "Potential Fit": 0, "Good Fit": 4}
    >>> labels_note({"label_counts": counts, "labels_read": {"0": "No Fit", "1": "Good Fit"}})
    'The labels look binary and are taken so: 0 → No Fit, 1 → Good Fit.'
    """
    read = ", ".join(f"{value} → {name}" for value, name in data.get("labels_read", {}).items())
    if all(data["label_counts"].values()):
        return f"The labels are taken so: {read}." if read else ""
    return f"The labels look binary{f' and are taken so: {read}' if read else ''}."


def _binary_notes(facts: dict[str, Any]) -> list[str]:
    """Say what two classes mean for metrics and sampling; [] for three classes."""
    if all(facts["data"]["label_counts"].values()):
        return []
    needy = ", ".join(m.heading for m in METRICS.values() if m.needs_three)
    said = (
        f"Two classes: {needy} are n/a (they need three classes), there is one cut between the "
        "classes, and QWK is Cohen's kappa."
    )
    balance = facts.get("config", {}).get("training", {}).get("balance")
    if balance and len(balance) == len(LABELS):
        shares = shares_of_classes(balance, (NO, GOOD))
        both = f"{LABELS[NO]} {shares[NO]:.3f}, {LABELS[GOOD]} {shares[GOOD]:.3f}"
        said += f" training.balance={balance} is taken as {both}."
    return [said]


def _experience_notes(report: dict[str, Any]) -> list[str]:
    """What of the dates of CVs was not read; a record of an older version does not know it."""
    if "unread" not in report:
        return []
    said = (
        f"Dates: {report['experiences']:,} experiences of {report['cvs']:,} CVs; "
        f"{report['faulty']:,} have impossible or masked dates and no weight; {report['unread']:,} "
        f"strings of {report['cvs_with_unread']:,} CVs look like dates and were not read; "
        f"{report['cvs_without_dates']:,} CVs have no dated experience"
    )
    newer = f"; {report['newer']:,} are newer than the reference" if report["newer"] else ""
    return [f"{said}{newer}."]


def _split_note(kind: str, seed: str, split: dict[str, Any]) -> str:
    return (
        f"Split '{kind}', seed {seed}: "
        + ", ".join(f"{p} {split[p]['pairs']:,}" for p in ("train", "validation", "test"))
        + f" pairs, {split['discarded']:,} discarded; test has {split['test']['jds']} JDs and "
        f"{split['test']['labels']['Good Fit']} Good Fit; of its CVs "
        f"{split['test_cvs_in_train']:.0%} are also in train, of its JDs "
        f"{split['test_jds_in_train']:.0%}."
    )


def _encoding_notes(encoding: dict[str, Any]) -> list[str]:
    """Describe the chunks of one encoder, and how many documents were encoded now."""
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
    said += encoding.get("long", [])
    single = sum(chunks[side]["of_one_chunk"] for side in ("cv", "jd"))
    if single > 0.5 * encoding["documents"]:
        said.append(
            "Most documents have one chunk, so this data shows little about ways to combine "
            "chunks. Give a smaller chunking.size."
        )
    return said


def _detectable(found: Sequence[Mapping[str, Any]]) -> float:
    """Compute the median of the smallest detectable differences.

    Rows without any variance (because they have no comparisons) are left out.
    """
    known = [f["detectable"] for f in found if f["se"] > 0]
    return float(np.median(known)) if known else np.nan


def _finite(by_metric: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Replace infinite degrees of freedom (no variance), which JSON cannot hold, by None."""
    return {
        metric: {key: None if value == np.inf else value for key, value in found.items()}
        for metric, found in by_metric.items()
    }


def _summary(values: list[float]) -> dict[str, Any]:
    mean, deviation = spread(values)
    return {"mean": mean, "sd": deviation, "seeds": values}


def _curve(columns: Mapping[str, np.ndarray]) -> dict[str, list[float]]:
    found = reliability(columns["label"], columns["score"], bins=10)
    return {name: [float(x) for x in values] for name, values in found.items()}
