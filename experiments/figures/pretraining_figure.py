"""Draw pretraining.png: loss, alignment and uniformity over the steps of pretraining."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt

from experiments.figures.result_figures import COLOURS

PANELS = (
    ("loss", "contrastive loss, nats"),
    ("alignment", "alignment of validation Good Fits (lower: closer)"),
    ("uniformity", "uniformity of their documents (lower: more even)"),
)


def draw(folder: Path, courses: Mapping[int, Sequence[Mapping[str, Any]]]) -> None:
    """Write pretraining.png: one panel for each figure over the steps, one line for each seed.

    courses: seed → the course of `research.contrastive.pretraining.pretrain`
    """
    figure, axes = plt.subplots(1, len(PANELS), figsize=(13, 3.4))
    for axis, (name, title) in zip(axes, PANELS, strict=True):
        for number, (seed, course) in enumerate(courses.items()):
            points = [(line["step"], line[name]) for line in course if name in line]
            if points:
                colour = COLOURS[number % len(COLOURS)]
                axis.plot(*zip(*points, strict=True), color=colour, label=f"seed {seed}")
        axis.set(title=title, xlabel="step")
        axis.title.set_fontsize(9)
        axis.grid(alpha=0.3)
    axes[0].legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(folder / "pretraining.png", dpi=110)
    plt.close(figure)
