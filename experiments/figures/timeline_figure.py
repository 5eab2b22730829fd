"""Show a CV's experiences over the years, as a figure and as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.ticker import MaxNLocator

from jdcv_core.months import as_text

MOST_BELOW = 8
"""Lines under the figure."""


def draw(
    path: Path,
    entries: Sequence[Mapping[str, Any]],
    reference: int,
    title: str,
    below: Sequence[str] = (),
    why: str = "",
) -> None:
    """Draw a bar for each experience from its first month to its last, with its score as a number.

    A darker bar has more weight. A hatched bar has impossible dates and no weight. An experience
    whose months are unknown has no bar.

    entries:   result of `research.experience.timeline.timeline`
    reference: month of the dashed line
    below:     lines of text under the figure, such as dates that were not read; at most MOST_BELOW
               are shown
    why:       how the reference was chosen
    """
    below = [
        *below[:MOST_BELOW],
        *([f"and {len(below) - MOST_BELOW} more"] if len(below) > MOST_BELOW else []),
    ]
    height = 1.6 + 0.5 * max(1, len(entries)) + 0.2 * len(below)
    figure, axis = plt.subplots(figsize=(9, height))
    weights = [e["weight"] for e in entries if e["weight"] is not None]
    most = max(weights, default=0) or 1.0
    for row, entry in enumerate(entries):
        start, end = sorted((entry["start"], max(entry["end"], entry["start"] + 1)))
        if entry["from"] == "unknown":
            axis.text(reference / 12, row, entry["fault"], va="center", ha="right", fontsize=8)
            continue
        share = 0.0 if entry["weight"] is None else entry["weight"] / most
        colour = plt.get_cmap("Blues")(0.15 + 0.75 * share)
        hatch = "//" if entry["fault"] else None
        axis.barh(
            row, (end - start) / 12, left=start / 12, color=colour, edgecolor="#333", hatch=hatch
        )
        said = [f"{entry['months']} months"]
        said += [f"weight {entry['weight']:.2f}"] if entry["weight"] is not None else []
        said += [f"score {entry['score']:.2f}"] if entry["score"] is not None else []
        said += [entry["fault"]] if entry["fault"] else []
        axis.text(end / 12 + 0.1, row, ", ".join(said), va="center", fontsize=8)
    titles = [_short(e["title"]) for e in entries]
    axis.set_yticks(range(len(entries)), titles, fontsize=8, parse_math=False)
    axis.invert_yaxis()
    axis.axvline(reference / 12, color="#777", linestyle="--", linewidth=1)
    axis.margins(x=0.02)
    left, right = axis.get_xlim()
    axis.set_xlim(left, right + 0.35 * (right - left))
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.set_xlabel("year")
    chosen = f" ({why})" if why else ""
    heading = f"{title}; dashed: reference {as_text(reference)}{chosen}"
    axis.set_title(heading, fontsize=9, parse_math=False)
    figure.text(0.01, 0.01, "\n".join(below), fontsize=7, va="bottom", parse_math=False)
    figure.tight_layout(rect=(0, 0.2 * len(below) / height, 1, 1))
    figure.savefig(path, dpi=130)
    plt.close(figure)


def as_json(content: Mapping[str, Any]) -> str:
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def _short(title: str) -> str:
    return title if len(title) <= 34 else f"{title[:33]}…"
