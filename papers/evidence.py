"""The recorded evidence: what experiments and benchmarks left behind."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Json = dict[str, Any]


class EvidenceError(ValueError):
    """Evidence that is missing or is not what it should be: the file, and what to do."""


@dataclass(frozen=True)
class Ablation:
    """One experiment. name: of its folder; table, facts: its table.json and facts.json."""

    name: str
    table: Json
    facts: Json

    def kind(self, split: str) -> Json:
        """Facts of each seed's split of this kind."""
        return self.facts["splits"][split]

    @property
    def equal_parameters(self) -> bool:
        return "match_parameters=true" in self.table["command"]

    @property
    def other_baseline(self) -> bool:
        """It asks a second question of cells that another experiment has shown."""
        return "baseline=" in self.table["command"]

    @property
    def brief(self) -> bool:
        """Its differences say all that is new in it."""
        return self.equal_parameters or self.other_baseline


@dataclass(frozen=True)
class Evidence:
    """sweep: the table.json of every point; statistics: the last line of the benchmark."""

    ablations: list[Ablation]
    sweep: list[Json]
    statistics: Json | None


def read_evidence(folder: Path) -> Evidence:
    """`<name>/table.json` and `<name>/facts.json` of experiments, by name; `<name>/sweep.json` of a
    sweep; `statistics.json`, the last line of benchmarks/statistics.py.

    Raises EvidenceError for a folder without an experiment, or a file that is no JSON.
    """
    ablations = [
        Ablation(path.parent.name, _read(path), _read(path.with_name("facts.json")))
        for path in sorted(folder.glob("*/table.json"))
    ]
    if not ablations:
        raise EvidenceError(f"{folder}: no */table.json in it. Copy a record's files there.")
    sweeps = sorted(folder.glob("*/sweep.json"))
    statistics = folder / "statistics.json"
    return Evidence(
        ablations,
        _read(sweeps[-1]) if sweeps else [],
        _read(statistics) if statistics.exists() else None,
    )


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as fault:
        raise EvidenceError(f"{path}: {fault}. Copy it from the record once more.") from fault
