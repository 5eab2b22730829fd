"""Draw the figures of an experiment as PNG files in its folder."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from experiments.report.table import Table
from jdcv_core.evaluation.classification import classes_of, confusion_matrix
from jdcv_core.evaluation.intervals import spread
from jdcv_core.evaluation.metrics import HEADLINE, METRICS
from jdcv_core.types import LABELS, SIDES, Dataset

COLOURS = ("#b2182b", "#e08214", "#1b7837")
"""Colours of No, Potential and Good."""
USUAL_LIMIT = 1024


def dataset_figures(folder: Path, dataset: Dataset, tokenizer: Any, encoder: str) -> None:
    """Write labels.png (pairs of each class) and tokens.png (lengths of CVs and of JDs)."""
    counts = np.bincount([p.label for p in dataset.pairs])[list(dataset.classes)]
    figure, axis = plt.subplots(figsize=(5, 3.4))
    names, colours = zip(*((LABELS[c], COLOURS[c]) for c in dataset.classes), strict=True)
    bars = axis.bar(names, counts, color=colours)
    axis.bar_label(bars, [f"{n:,}\n{n / counts.sum():.0%}" for n in counts], padding=2)
    axis.set(ylabel="pairs", title=f"Labels of {dataset.name}", ylim=(0, counts.max() * 1.2))
    _save(figure, folder, "labels")

    figure, axes = plt.subplots(1, 2, figsize=(10, 3.6))
    for axis, side in zip(axes, SIDES, strict=True):
        texts = [d.text for d in dataset.side(side)]
        lengths = [len(e.ids) for e in tokenizer.encode_batch(texts, add_special_tokens=False)]
        axis.hist(lengths, bins=40, color="#4575b4")
        axis.axvline(USUAL_LIMIT, color="black", linestyle="--")
        over = np.mean(np.array(lengths) > USUAL_LIMIT)
        axis.set(
            title=f"{len(texts)} {side.upper()}s, median {np.median(lengths):,.0f}, "
            f"{over:.0%} above {USUAL_LIMIT:,}",
            xlabel=f"tokens of {encoder}",
            ylabel="documents",
        )
    _save(figure, folder, "tokens")


def table_figure(folder: Path, table: Table) -> None:
    """Write comparison.png: weighted F1, AUC and nDCG of every row, a dot per seed and the mean."""
    shown = [(name, METRICS[name].title) for name in HEADLINE]
    names = table.names
    figure, axes = plt.subplots(1, 3, figsize=(13, 0.42 * len(names) + 1.4), sharey=True)
    for axis, (metric, title) in zip(axes, shown, strict=True):
        for at, name in enumerate(names):
            values = np.array(table.values(name, metric), dtype=float)
            colour = {"floor": "grey", "ceiling": "black"}.get(table.kind(name), "#2166ac")
            axis.plot(values, [at] * len(values), "o", color=colour, alpha=0.35, markersize=4)
            mean, deviation = spread(values.tolist())
            axis.errorbar(mean, at, xerr=np.nan_to_num(deviation), fmt="D", color=colour, capsize=3)
        axis.axvline(
            spread(table.values(table.baseline, metric))[0], color="#2166ac", linestyle=":"
        )
        axis.set(title=title, yticks=range(len(names)))
        axis.grid(axis="x", alpha=0.3)
    axes[0].set_yticklabels([f"{n} (baseline)" if n == table.baseline else n for n in names])
    axes[0].invert_yaxis()
    figure.supxlabel("test figures: one dot per seed; diamond and bar: mean ± standard deviation")
    _save(figure, folder, "comparison")


def prediction_figures(folder: Path, predictions: Mapping[str, Any]) -> None:
    """Write confusion.png and scores.png: one panel per row, with the test pairs of all seeds."""
    columns = {name: np.asarray(values) for name, values in predictions.items()}
    names = list(dict.fromkeys(predictions["variant"]))
    classes = list(classes_of(columns["label"]))
    short = [LABELS[c].split()[0] for c in classes]
    figure, axes = _panels(len(names), height=3.1)
    for axis, name in zip(axes, names, strict=False):
        mine = columns["variant"] == name
        matrix = confusion_matrix(columns["label"][mine], columns["predicted"][mine])
        matrix = matrix[np.ix_(classes, classes)]
        share = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
        axis.imshow(share, cmap="Blues", vmin=0, vmax=1)
        for (i, j), count in np.ndenumerate(matrix):
            ink = "white" if share[i, j] > 0.6 else "black"
            axis.text(j, i, f"{count}\n{share[i, j]:.0%}", ha="center", va="center", color=ink)
        places = range(len(classes))
        axis.set(xticks=places, yticks=places, title=name, xlabel="predicted", ylabel="label")
        axis.set_xticklabels(short)
        axis.set_yticklabels(short)
    _save(figure, folder, "confusion")

    figure, axes = _panels(len(names), height=2.6)
    for axis, name in zip(axes, names, strict=False):
        mine = columns["variant"] == name
        scores, labels = columns["score"][mine], columns["label"][mine]
        edges = np.linspace(scores.min() - 0.01, scores.max() + 0.01, 31)
        for label, colour in enumerate(COLOURS):
            of_class = scores[labels == label]
            if len(of_class):
                axis.hist(
                    of_class,
                    edges,
                    weights=np.full(len(of_class), 1 / len(of_class)),
                    histtype="step",
                    color=colour,
                    label=LABELS[label],
                    linewidth=1.5,
                )
        axis.set(title=name, xlabel="score", ylabel="share of class")
    axes[0].legend(fontsize=7)
    _save(figure, folder, "scores")


def attention_figure(folder: Path, examples: list[tuple[str, np.ndarray]]) -> None:
    """Write attention.png: the attention of each JD chunk to each CV chunk, for a few pairs."""
    if not examples:
        return
    figure, axes = plt.subplots(1, len(examples), figsize=(4.6 * len(examples), 3.4), squeeze=False)
    for axis, (title, weights) in zip(axes[0], examples, strict=True):
        image = axis.imshow(weights, cmap="viridis", vmin=0, vmax=weights.max(), aspect="auto")
        axis.set(title=title, xlabel="CV chunk", ylabel="JD chunk")
        axis.set_xticks(range(weights.shape[1]))
        axis.set_yticks(range(weights.shape[0]))
        figure.colorbar(image, ax=axis)
    figure.suptitle("Cross attention, mean over heads; each row sums to 1")
    _save(figure, folder, "attention")


def _panels(count: int, height: float) -> tuple[Figure, np.ndarray]:
    rows = -(-count // 3)
    figure, axes = plt.subplots(rows, 3, figsize=(11, height * rows), squeeze=False)
    for axis in axes.flat[count:]:
        axis.set_visible(False)
    return figure, axes.flat[:count]


def _save(figure: Figure, folder: Path, name: str) -> None:
    figure.tight_layout()
    figure.savefig(folder / f"{name}.png", dpi=110)
    plt.close(figure)
