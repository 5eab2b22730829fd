"""Which row wins where: a sweep on the terminal and as sweep.png."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from rich.console import Console
from rich.table import Table as RichTable

SHOWN = (("weighted_f1", "weighted F1"), ("auc_good", "AUC"), ("ndcg", "nDCG@10"))
SIGNS = {"better": "+", "worse": "−"}  # a true minus is as wide as the plus


def draw(folder: Path, tables: Sequence[dict[str, Any]]) -> None:
    """sweep.png: the difference of every variant to the baseline at every point; + and − where it
    is more than a tie, a frame around the best variant of a point.

    tables: table.json of every point, with `sweep`
    """
    names = variants(tables)
    labels = [_point(table, "\n") for table in tables]
    height, width = 0.38 * len(names) + 1.9, 0.62 * len(tables) + 1.6
    figure, axes = plt.subplots(
        1, len(SHOWN), figsize=(3 + width * len(SHOWN), height), sharey=True
    )
    for axis, (metric, title) in zip(axes, SHOWN, strict=True):
        values = np.array([[_against(t, n, metric)[0] for t in tables] for n in names])
        most = max(1e-3, np.nanmax(np.abs(values)) if np.isfinite(values).any() else 1)
        image = axis.imshow(values, cmap="RdBu", vmin=-most, vmax=most, aspect="auto")
        for (i, j), value in np.ndenumerate(values):
            sign = SIGNS.get(_against(tables[j], names[i], metric)[1], "")
            ink = "white" if abs(value) > 0.6 * most else "black"
            axis.text(j, i, sign, ha="center", va="center", color=ink, fontsize=11)
        for j in range(len(tables)):
            if np.isfinite(values[:, j]).any() and np.nanmax(values[:, j]) > 0:
                best = int(np.nanargmax(values[:, j]))
                frame = plt.Rectangle((j - 0.5, best - 0.5), 1, 1, fill=False, linewidth=1.8)
                axis.add_patch(frame)
        axis.set(title=title, xticks=range(len(tables)), yticks=range(len(names)))
        axis.set_xticklabels(labels, fontsize=7)
        figure.colorbar(image, ax=axis, fraction=0.04)
    axes[0].set_yticklabels(names)
    keys = ", ".join(key.rpartition(".")[2] for key in tables[0]["sweep"])
    figure.suptitle(
        f"Difference to {tables[0]['baseline']} at every point of {keys} (top to bottom); "
        "frame: the best of a point; + −: no tie",
        fontsize=10,
    )
    figure.tight_layout()
    figure.savefig(folder / "sweep.png", dpi=110)
    plt.close(figure)


def show(tables: Sequence[dict[str, Any]], folder: Path) -> None:
    """The best variant of every point, and whether it is more than a tie with the baseline."""
    grid = RichTable(title="The best variant at every point", title_justify="left", box=None)
    grid.add_column("point", no_wrap=True)
    for _, title in SHOWN:
        grid.add_column(title, no_wrap=True)
    for table in tables:
        grid.add_row(_point(table, ", "), *(_winner(table, metric) for metric, _ in SHOWN))
    console = Console()
    console = console if console.width >= 150 else Console(width=150)
    console.print(grid, highlight=False, markup=False)
    console.print(f"Tables, figure: {folder}", highlight=False, soft_wrap=True, markup=False)


def variants(tables: Sequence[dict[str, Any]]) -> list[str]:
    """The rows that are compared with the baseline."""
    rows = tables[0]["rows"]
    return [r["name"] for r in rows if r["kind"] == "variant" and r["against"] is not None]


def _winner(table: dict[str, Any], metric: str) -> str:
    against = {name: _against(table, name, metric) for name in variants([table])}
    known = {name: both for name, both in against.items() if np.isfinite(both[0])}
    if not known:
        return "n/a"
    best = max(known, key=lambda name: known[name][0])
    value, verdict = known[best]
    if value <= 0:
        return f"{table['baseline']} (next {best} {value:+.3f})"
    return f"{best} {value:+.3f}{'' if verdict == 'better' else '  tie'}"


def _against(table: dict[str, Any], name: str, metric: str) -> tuple[float, str]:
    """Difference and verdict on the main split; nan where undefined."""
    row = next(r for r in table["rows"] if r["name"] == name)
    found = row["against"][table["main_split"]][metric]
    value = found["difference"]
    return (np.nan if value is None else value), found["verdict"]


def _point(table: dict[str, Any], between: str) -> str:
    return between.join(f"{k.rpartition('.')[2]} {v}" if between == ", " else str(v)
                        for k, v in table["sweep"].items())  # fmt: skip
