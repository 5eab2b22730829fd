"""Draw scaling.png: quality against the operations of training, one point for each size."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from experiments.report.cost_table import short
from jdcv_core.evaluation.metrics import HEADLINE, METRICS

SHOWN = [(name, METRICS[name].title) for name in HEADLINE]
"""(key in the record, title) of the metrics, as in comparison.png."""


@dataclass(frozen=True)
class Point:
    """A row of the table.

    parameters: number of parameters of encoder and scorer
    flops:      operations of its training and evaluation, over all its seeds
    metrics:    metric → mean over seeds and sample standard deviation (NaN for one seed); a metric
                may be missing or NaN if it is not defined
    """

    name: str
    parameters: int
    flops: float
    metrics: Mapping[str, tuple[float, float]]


def draw(folder: Path, points: Sequence[Point]) -> Path | None:
    """Write scaling.png into the folder, one panel for each metric; return its path.

    The horizontal axis is logarithmic, so a point without operations (a floor) is left out. Without
    points, nothing is written and None is returned.
    """
    shown = sorted((p for p in points if p.flops > 0), key=lambda p: p.flops)
    if not shown:
        return None
    figure, axes = plt.subplots(1, len(SHOWN), figsize=(13, 4.2))
    for axis, (metric, title) in zip(axes, SHOWN, strict=True):
        _panel(axis, shown, metric)
        limits = _decades([p.flops for p in shown])
        axis.set(title=title, xscale="log", xlim=limits, xlabel="training FLOPs")
    figure.supxlabel("test figures: diamond and bar are mean ± standard deviation over seeds")
    figure.tight_layout()
    path = folder / "scaling.png"
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return path


def _panel(axis: Axes, points: Sequence[Point], metric: str) -> None:
    found = np.array([p.metrics.get(metric, (np.nan, np.nan)) for p in points])  # [point 2]
    flops, means, spreads = np.array([p.flops for p in points]), found[:, 0], found[:, 1]
    spreads = np.nan_to_num(spreads)
    axis.plot(flops, means, color="#2166ac", alpha=0.35, linestyle=":")
    axis.errorbar(flops, means, spreads, fmt="D", color="#2166ac", capsize=3)
    for at, point in enumerate(points):
        if np.isfinite(means[at]):
            side = -1 if at % 2 else 1  # alternate the side: neighbours are often close
            axis.annotate(
                f"{point.name}\n{short(point.parameters)}",
                (point.flops, means[at] + side * spreads[at]),
                (0, side * 6),
                textcoords="offset points",
                ha="center",
                va="bottom" if side > 0 else "top",
                fontsize=8,
            )
    axis.margins(y=0.3)
    axis.grid(alpha=0.3)


def _decades(flops: Sequence[float]) -> tuple[float, float]:
    """Return powers of ten around the values: a logarithmic axis labels only powers of ten."""
    low, high = np.log10(min(flops) / 1.5), np.log10(max(flops) * 1.5)
    return 10 ** np.floor(low), 10 ** np.ceil(high)
