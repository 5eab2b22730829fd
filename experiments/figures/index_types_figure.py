"""Draw index_types.png: recall of exact search against queries per second, for every setting."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.ticker import StrMethodFormatter

from research.retrieval.compare_index_types import Measured
from research.retrieval.pareto import pareto

MARKERS = "osD^v<>Ph*X"


def draw(folder: Path, measured: Sequence[Measured], k: int, documents: int) -> Path:
    """Write index_types.png into the folder; return its path.

    Each dot is a setting and each colour an index type. The line joins the Pareto front: settings
    for which no other setting is better in both values.
    """
    figure, axis = plt.subplots(figsize=(8.5, 5))
    kinds = list(dict.fromkeys(m.index_type for m in measured))
    colours = plt.get_cmap("tab10").colors  # type: ignore[attr-defined]
    front = pareto([m.point for m in measured])
    recalls, rates = [p.recall for p in front], [p.per_second for p in front]
    axis.plot(recalls, rates, color="black", alpha=0.5, linewidth=1, label="Pareto front")
    for at, kind in enumerate(kinds):
        mine = [m for m in measured if m.index_type == kind]
        axis.scatter(
            [m.recall for m in mine],
            [m.per_second for m in mine],
            s=28,
            alpha=0.8,
            color=colours[at % len(colours)],
            marker=MARKERS[at % len(MARKERS)],
            label=kind,
        )
    axis.set(
        yscale="log",
        xlabel=f"recall@{k} of exact MaxSim",
        ylabel="sequential queries per second",
        title=f"Index types over {documents:,} CVs",
    )
    for ticks in (axis.yaxis.set_major_formatter, axis.yaxis.set_minor_formatter):
        ticks(StrMethodFormatter("{x:,.0f}"))
    axis.grid(alpha=0.3, which="both")
    axis.legend(fontsize=8, loc="lower left")
    figure.tight_layout()
    path = folder / "index_types.png"
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return path
