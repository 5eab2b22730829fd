"""Collect the numbers of each figure for the drawings in drawings.typ."""

from __future__ import annotations

from typing import Any

from jdcv_core.evaluation.formats import undefined
from papers.evidence import FOREST, Ablation, Json


def forest(ablation: Ablation) -> dict[str, Any]:
    """Collect differences to the baseline with intervals, a panel for each metric of FOREST."""
    rows = [
        r for r in ablation.table["rows"] if r["against"] and r["kind"] in ("variant", "falsifier")
    ]
    cells = [[_cell(row["against"][ablation.main][m]) for m in FOREST] for row in rows]
    ranges = []
    for column in zip(*cells, strict=True):
        ends = [x for c in column if c for x in (c["value"] - 0.01, c["value"] + 0.01)]
        ends += [x for c in column if c for x in (c["low"], c["high"])]
        low, high = max(-0.6, min([0.0, *ends])), min(0.6, max([0.0, *ends]))
        step = next((s for s in (0.02, 0.05, 0.1, 0.2) if (high - low) / s <= 7), 0.2)
        ranges.append([low, high, step])
    named = [
        {"name": row["name"], "kind": row["kind"], "cells": own}
        for row, own in zip(rows, cells, strict=True)
    ]
    return {"metrics": list(FOREST.values()), "ranges": ranges, "rows": named}


def reliability(ablation: Ablation) -> dict[str, Any]:
    """Collect mean target and mean score in bins, a panel for each variant and the ceiling."""
    curves = ablation.table["reliability"]
    rows = [r["name"] for r in ablation.table["rows"] if r["kind"] in ("variant", "ceiling")]
    return {
        "panels": [
            {"name": name, "score": curves[name]["score"], "target": curves[name]["target"]}
            for name in rows
            if name in curves
        ]
    }


def _cell(found: Json) -> Json | None:
    if undefined(found["difference"]) or undefined(found["low"]):
        return None
    return {
        "value": found["difference"], "low": found["low"], "high": found["high"],
        "verdict": found["verdict"],
    }  # fmt: skip
