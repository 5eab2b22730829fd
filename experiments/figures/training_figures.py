"""Draw the course of training over steps, and precision, recall and F1 of each class."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import cycle
from pathlib import Path
from textwrap import fill
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from experiments.figures.result_figures import COLOURS
from jdcv_core.evaluation.classification import classes_of, confusion_matrix, confusion_metrics
from jdcv_core.types import LABELS

Course = Sequence[Mapping[str, Any]]
"""The reports of one cell in order, each with its step and some figures (`trackers.read_course`).
A figure that was not finite is nan or None."""

Courses = Mapping[str, Mapping[int, Course]]
"""Row name → seed → course."""

PANELS = (
    ("train_loss", "train loss"),
    ("validation_loss", "validation loss"),
    ("validation_weighted_f1", "validation weighted F1"),
)
WATCHED = "validation_weighted_f1"
CLASS_METRICS = ("precision", "recall", "F1")
SHORT = tuple(label.split()[0].lower() for label in LABELS)
WRAP = 30
"""Number of characters after which a row's name is wrapped."""


def draw(folder: Path, lines: Sequence[Mapping[str, Any]], predictions: Mapping[str, Any]) -> None:
    """Write training.png and per_class.png of an experiment.

    lines:       lines of the record: `variant`, `seed`, and `course` if something was trained
    predictions: as for `draw_per_class`
    """
    training_figure(folder, courses_of(lines))
    per_class_figure(folder, predictions)


def training_figure(folder: Path, courses: Courses) -> None:
    """Write training.png with `draw_training`, unless nothing was trained."""
    if courses:
        draw_training(courses).savefig(folder / "training.png", dpi=110)


def per_class_figure(folder: Path, predictions: Mapping[str, Any]) -> None:
    """Write per_class.png with `draw_per_class`."""
    draw_per_class(predictions).savefig(folder / "per_class.png", dpi=110)


def courses_of(lines: Sequence[Mapping[str, Any]]) -> dict[str, dict[int, Course]]:
    """Map row → seed → course from the lines of a record; rows without a course are left out."""
    courses: dict[str, dict[int, Course]] = {}
    for line in lines:
        if line.get("course"):
            courses.setdefault(line["variant"], {})[line["seed"]] = line["course"]
    return courses


def draw_training(courses: Courses) -> Figure:
    """Draw train loss, validation loss and validation weighted F1 over steps, one style per row.

    Each thin line is a cell, labelled `row · seed 0`. If there are several seeds, the thick line,
    labelled `row`, is their mean over the steps that all of them reached. In the two panels of
    validation, a dot marks the weights that are kept: the earliest of those with the highest
    validation weighted F1.
    """
    names = [fill(row, WRAP) for row in courses]
    height = 0.6 + sum(0.07 + 0.16 * (name.count("\n") + 1) for name in names)  # of the legend
    figure = Figure(figsize=(13, max(3.8, height)), layout="constrained")
    axes = figure.subplots(1, len(PANELS))
    handles = []
    colours = matplotlib.colormaps["tab10"](range(10))
    looks = [{"linestyle": s, "color": c} for s in ("-", "--", ":") for c in colours]
    for (row, seeds), name, look in zip(courses.items(), names, cycle(looks), strict=False):
        handles.append(Line2D([], [], label=name, **look))
        for axis, (key, _) in zip(axes, PANELS, strict=True):
            for seed, course in seeds.items():
                _draw_cell(axis, course, key, len(seeds) > 1, look, f"{row} · seed {seed}")
            if len(seeds) > 1:
                axis.plot(*mean_series(seeds.values(), key), label=row, **look)
    for axis, (_, title) in zip(axes, PANELS, strict=True):
        axis.set(title=title, xlabel="step")
        axis.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
        axis.grid(alpha=0.3)
        if not any(len(line.get_xdata()) for line in axis.lines):
            axis.text(0.5, 0.5, "not reported", ha="center", transform=axis.transAxes, color="grey")
            axis.set(xticks=[], yticks=[])
    handles.append(Line2D([], [], color="grey", marker="o", linestyle="", label="kept weights"))
    figure.legend(handles=handles, loc="outside right upper", frameon=False, fontsize=9)
    return figure


def series(course: Course, name: str) -> tuple[list[float], list[float]]:
    """Return the steps at which a figure was reported, and its values."""
    found = [(r["step"], np.nan if r[name] is None else r[name]) for r in course if name in r]
    return [step for step, _ in found], [value for _, value in found]


def mean_series(courses: Iterable[Course], name: str) -> tuple[list[float], list[float]]:
    """Return the steps at which every course reports a figure, and its mean over the courses."""
    found = [dict(zip(*series(course, name), strict=True)) for course in courses]
    shared = sorted(set.intersection(*(set(values) for values in found)))
    return shared, [float(np.mean([values[step] for values in found])) for step in shared]


def best_step(course: Course) -> float | None:
    """Return the earliest step of the highest validation weighted F1; None without validation."""
    steps, values = series(course, WATCHED)
    known = [(-value, step) for step, value in zip(steps, values, strict=True) if value == value]
    return min(known)[1] if known else None


def draw_per_class(predictions: Mapping[str, Any]) -> Figure:
    """Draw precision, recall and F1 of each class and row: a dot per seed and a bar for the mean.

    predictions: columns `variant`, `seed`, `label` and `predicted`, with one row per test pair
    """
    found = per_class(predictions)
    classes = classes_of(predictions["label"])
    figure = Figure(figsize=(13, 1.5 + 0.55 * len(found)), layout="constrained")
    axes = figure.subplots(1, len(CLASS_METRICS), sharey=True)
    for at, seeds in enumerate(found.values()):
        values = np.stack(list(seeds.values()))  # [seed metric label]
        for m, axis in enumerate(axes):
            for label in classes:
                colour, y = COLOURS[label], at + 0.24 * (label - 1)
                mine = values[:, m, label]
                axis.plot(mine, [y] * len(mine), "o", color=colour, alpha=0.5, markersize=4)
                axis.plot([mine.mean()], [y], "|", color=colour, markersize=11, markeredgewidth=2.5)
    for axis, title in zip(axes, CLASS_METRICS, strict=True):
        axis.set(title=title, xlim=(-0.02, 1.02), yticks=range(len(found)))
        axis.grid(axis="x", alpha=0.3)
        for at in range(1, len(found)):
            axis.axhline(at - 0.5, color="grey", linewidth=0.4)
    axes[0].set_yticklabels([fill(row, WRAP) for row in found])
    axes[0].set_ylim(len(found) - 0.5, -0.5)
    handles = [
        Line2D([], [], color=COLOURS[c], marker="o", linestyle="", label=LABELS[c]) for c in classes
    ]
    title = "test pairs: one dot per seed, bar: mean over seeds"
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False, title=title)
    return figure


def per_class(predictions: Mapping[str, Any]) -> dict[str, dict[int, np.ndarray]]:
    """Map row → seed → float [metric label]: precision, recall, F1 of No, Potential, Good.

    predictions: as for `draw_per_class`
    """
    columns = {name: np.asarray(predictions[name]) for name in ("seed", "label", "predicted")}
    rows = np.asarray(predictions["variant"])
    found: dict[str, dict[int, np.ndarray]] = {}
    for row in dict.fromkeys(predictions["variant"]):
        found[row] = {}
        for seed in dict.fromkeys(columns["seed"][rows == row].tolist()):
            mine = (rows == row) & (columns["seed"] == seed)
            matrix = confusion_matrix(columns["label"][mine], columns["predicted"][mine])
            figures = confusion_metrics(matrix)
            keys = [[f"{m.lower()}_{name}" for name in SHORT] for m in CLASS_METRICS]
            found[row][seed] = np.array([[float(figures[key]) for key in line] for line in keys])
    return found


def _draw_cell(
    axis: Axes, course: Course, name: str, pale: bool, look: dict[str, Any], label: str
) -> None:
    steps, values = series(course, name)
    alpha, width = (0.3, 0.8) if pale else (1.0, 1.5)
    axis.plot(steps, values, alpha=alpha, linewidth=width, label=label, **look)
    best = best_step(course)
    if name != "train_loss" and best in steps:
        axis.plot([best], [values[steps.index(best)]], "o", color=look["color"], markersize=4)
