"""Additional results of an experiment on experiences: a half-life and a timeline.

The half-life is estimated from the words of the training pairs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.figures import timeline_figure
from experiments.schema import Config
from jdcv_core import records
from jdcv_core.data.splits import Split
from jdcv_core.errors import InputError
from jdcv_core.progress import progress
from jdcv_core.types import Dataset
from research.experience.fit_half_life import career_evidence, fit_half_life
from research.experience.parsing import parse_cv
from research.experience.timeline import timeline


def facts_of(
    reference: int | None,
    dataset: Dataset,
    splits: Mapping[tuple[str, int], Split],
    config: Config,
    folder: Path,
    lines: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """Fit `half_life` on the training pairs of the first seed, and draw a timeline.

    The timeline shows a test pair of the last row that weights by months. Returns {} without a
    reference, which means that the experiment does not cut CVs by experience, and if no row learns
    a half-life.
    """
    if reference is None:
        return {}
    draw(dataset, reference, folder, lines)
    if not any("half_life" in line.get("learnt", {}) for line in lines):
        return {}
    seed = config.seeds[0]
    train = [dataset.pairs[i] for i in splits[config.split.kind, seed].train]
    with progress("Half-life from the words of the training pairs", None):
        try:
            evidence = career_evidence(dataset.documents, train, reference)
        except InputError:
            return {}  # a corpus without dates has no half-life
        found = fit_half_life(evidence)
    return {
        "half_life": {
            "seed": seed,
            "text": str(found),
            "rate": found.rate,
            "error": found.error if math.isfinite(found.error) else None,
            "loss": found.loss,
            "loss_without_age": found.loss_without_age,
            "pairs": found.pairs,
        }
    }


def draw(
    dataset: Dataset, reference: int, folder: Path, lines: Sequence[Mapping[str, Any]]
) -> None:
    """Write the figure and the JSON of the timeline of the first row that learns a half-life.

    Weights are shown as shares of their sum over the experiences.
    """
    shown = [line for line in lines if line.get("timeline") and line["kind"] == "variant"]
    if not shown:
        return
    line = next((x for x in shown if "half_life" in x.get("learnt", {})), shown[-1])
    example = line["timeline"]
    marks = {e["place"]: e for e in example["experiences"]}
    total = sum(e["weight"] for e in marks.values())
    text = dataset.documents[example["cv"]].text
    parsed = parse_cv(text).seen_from(reference)
    entries = timeline(text, parsed)
    for entry in entries:
        mark = marks.get(entry["place"], {})
        if mark and not entry["fault"]:
            entry |= {"weight": mark["weight"] / total, "score": mark["score"]}
    content = {"row": line["variant"], "cv": example["cv"], "jd": example["jd"]}
    content |= {"reference": parsed.reference, "notes": parsed.notes, "experiences": entries}
    records.write_text(folder, "timeline.json", timeline_figure.as_json(content))
    title = f"{example['cv'][:11]} against {example['jd'][:11]}, row '{line['variant']}'"
    timeline_figure.draw(folder / "timeline.png", entries, parsed.reference, title)
