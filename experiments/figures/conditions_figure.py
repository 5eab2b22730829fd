"""Draw the differences of rows to one row under several conditions, with their intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np

from jdcv_core.evaluation.compare import Comparison
from jdcv_core.evaluation.metrics import HEADLINE, METRICS

COLOURS = ("#8a91a3", "#e0653a", "#6baed6", "#08519c", "#1f9d74", "#a64ac9", "#b15928", "#000000")


def draw(path: Path, conditions: Mapping[str, Comparison], rows: Sequence[str]) -> None:
    """Write a figure with one panel for each metric and one line for each condition.

    A filled diamond is better or worse, a hollow one is a tie; the bar is the 95% interval.

    conditions: name → the comparison of its rows with one row, the same for all conditions
    rows:       the rows to draw, in the order of the legend; every condition has them
    """
    (against,) = {found.baseline for found in conditions.values()}
    size = (13, 1.6 + 0.2 * len(conditions) * (len(rows) + 1))
    figure, axes = plt.subplots(1, len(HEADLINE), figsize=size, sharey=True)
    offsets = np.linspace(-0.3, 0.3, len(rows)) if len(rows) > 1 else np.zeros(1)
    for axis, metric in zip(axes, HEADLINE, strict=True):
        for at, found in enumerate(conditions.values()):
            for row, offset, colour in zip(rows, offsets, COLOURS, strict=False):
                one = found[row][metric]
                filled = one["verdict"] in ("better", "worse")
                low, high = one["difference"] - one["low"], one["high"] - one["difference"]
                axis.errorbar(
                    one["difference"],
                    at + offset,
                    xerr=[[low], [high]],
                    fmt="D",
                    markersize=5,
                    color=colour,
                    markerfacecolor=colour if filled else "white",
                    label=row if at == 0 and metric == HEADLINE[0] else None,
                )
        axis.axvline(0, color="black", linewidth=0.8)
        axis.set(title=METRICS[metric].title, yticks=range(len(conditions)))
        axis.grid(axis="x", alpha=0.3)
    axes[0].set_yticklabels(list(conditions))
    axes[0].invert_yaxis()
    figure.legend(loc="upper center", ncols=len(rows), frameon=False)
    figure.supxlabel(f"difference to {against}, 95% interval; hollow: tie", fontsize=10)
    figure.tight_layout(rect=(0, 0, 1, 0.94))
    figure.savefig(path, dpi=110)
    plt.close(figure)
