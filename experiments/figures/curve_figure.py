"""Draw the figures of rows over conditions that change one key, as curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt

from experiments.figures.conditions_figure import COLOURS
from jdcv_core.evaluation.intervals import spread
from jdcv_core.evaluation.metrics import HEADLINE, METRICS

Figures = Mapping[str, Mapping[str, Sequence[float]]]
"""row → metric → its value under each seed."""


def draw(path: Path, found: Mapping[str, Figures], kinds: Mapping[str, str], key: str) -> None:
    """Write a figure with one panel for each metric and one curve for each row.

    A point is the mean over seeds and its bar the standard deviation. Variants have solid lines,
    falsifiers dashed ones, floors and the ceiling dotted grey ones.

    found: condition → the figures of its rows, the same rows for all conditions
    kinds: row → floor, variant, falsifier or ceiling; the rows to draw
    key:   what the conditions change, for the axis
    """
    figure, axes = plt.subplots(1, len(HEADLINE), figsize=(13, 4.6))
    places = range(len(found))
    for axis, metric in zip(axes, HEADLINE, strict=True):
        colours = iter(COLOURS[1:] * len(kinds))
        for row, kind in kinds.items():
            fitted = kind in ("variant", "falsifier")
            style = {"variant": "-", "falsifier": "--"}.get(kind, ":")
            means, bars = zip(*(spread(own[row][metric]) for own in found.values()), strict=True)
            colour = next(colours) if fitted else COLOURS[0]
            axis.errorbar(
                places, means, yerr=bars, fmt=f"o{style}", markersize=4, color=colour, label=row
            )
        axis.set(title=METRICS[metric].title, xticks=places, xlabel=key)
        axis.set_xticklabels(list(found), rotation=20)
        axis.grid(axis="y", alpha=0.3)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncols=4, frameon=False, fontsize=8)
    figure.tight_layout(rect=(0, 0.05 + 0.045 * -(-len(kinds) // 4), 1, 1))
    figure.savefig(path, dpi=110)
    plt.close(figure)
