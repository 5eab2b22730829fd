"""Show the best row at each point of a sweep, on the terminal and as sweep.png."""

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

from jdcv_core.evaluation.metrics import HEADLINE, METRICS

SHOWN = [(name, METRICS[name].title) for name in HEADLINE]
SIGNS = {"better": "+", "worse": "−"}  # a true minus is as wide as the plus


def draw(folder: Path, tables: Sequence[dict[str, Any]]) -> None:
    """Write sweep.png: the difference of every variant to the baseline at every point.

    A + or − marks a difference that is not a tie, and a frame marks the best variant of a point.

    tables: table.json of every point, with the key `sweep`
    """
    names = variants(tables)
    if is_grid(tables):
        draw_grid(folder, tables)
        return
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
        "frame: the best variant of a point; + −: not a tie",
        fontsize=10,
    )
    figure.tight_layout()
    figure.savefig(folder / "sweep.png", dpi=110)
    plt.close(figure)


def is_grid(tables: Sequence[dict[str, Any]]) -> bool:
    """Return whether the sweep has two keys and one variant, so that a two-way table shows it."""
    return len(tables[0]["sweep"]) == 2 and len(variants(tables)) == 1


def grids(tables: Sequence[dict[str, Any]]) -> dict[str, np.ndarray]:
    """Map titles to the differences to the baseline, [first key, second key]; see `is_grid`."""
    (name,) = variants(tables)
    rows, columns = _axes(tables)
    shape = (len(rows), len(columns))
    found = {
        title: np.array([_against(t, name, metric)[0] for t in tables]).reshape(shape)
        for metric, title in SHOWN
    }
    if all(t.get("retrieval") for t in tables):
        each = [t["retrieval"][-1]["against"]["difference"] for t in tables]
        found["recall@10 by chunk vectors"] = np.array(each).reshape(shape)
    return found


def draw_grid(folder: Path, tables: Sequence[dict[str, Any]]) -> None:
    """Write sweep.png of a grid: a heat map for each figure, with the number in every field."""
    found = grids(tables)
    rows, columns = _axes(tables)
    keys = [key.rpartition(".")[2] for key in tables[0]["sweep"]]
    figure, axes = plt.subplots(1, len(found), figsize=(3.4 * len(found), 0.7 * len(rows) + 1.9))
    for axis, (title, values) in zip(np.atleast_1d(axes), found.items(), strict=True):
        most = max(1e-3, float(np.nanmax(np.abs(values))))
        axis.imshow(values, cmap="RdBu", vmin=-most, vmax=most, aspect="auto")
        for (i, j), value in np.ndenumerate(values):
            ink = "white" if abs(value) > 0.6 * most else "black"
            axis.text(j, i, f"{value:+.3f}", ha="center", va="center", color=ink, fontsize=9)
        axis.set(title=title, xlabel=keys[1], ylabel=keys[0])
        axis.set_xticks(range(len(columns)), [f"{c:g}" for c in columns])
        axis.set_yticks(range(len(rows)), [f"{r:g}" for r in rows])
    (name,) = variants(tables)
    figure.suptitle(f"{name}: difference to {tables[0]['baseline']}", fontsize=10)
    figure.tight_layout()
    figure.savefig(folder / "sweep.png", dpi=110)
    plt.close(figure)


def show_grid(tables: Sequence[dict[str, Any]], console: Console) -> None:
    """Print the heat maps of a grid on the terminal."""
    rows, columns = _axes(tables)
    first, second = (key.rpartition(".")[2] for key in tables[0]["sweep"])
    for title, values in grids(tables).items():
        grid = RichTable(title=f"{title}: difference to {tables[0]['baseline']}", box=None)
        grid.add_column(f"{first} \\ {second}", justify="right", no_wrap=True)
        for column in columns:
            grid.add_column(f"{column:g}", justify="right", no_wrap=True)
        most = max(1e-3, float(np.nanmax(np.abs(values))))
        for row, own in zip(rows, values, strict=True):
            cells = [f"[{_shade(value / most)}]{value:+.3f}[/]" for value in own]
            grid.add_row(f"{row:g}", *cells)
        console.print(grid, highlight=False)


def _shade(share: float) -> str:
    """Return a colour of the terminal: blue for positive shares, red for negative ones."""
    strength = int(round(150 * min(1.0, abs(share))))
    red, blue = (40, 40 + strength) if share >= 0 else (40 + strength, 40)
    return f"white on rgb({red},40,{blue})"


def _axes(tables: Sequence[dict[str, Any]]) -> list[list[Any]]:
    """List the values of each key, in order."""
    return [list(dict.fromkeys(t["sweep"][key] for t in tables)) for key in tables[0]["sweep"]]


def show(tables: Sequence[dict[str, Any]], folder: Path) -> None:
    """Print the best variant of every point and whether it is a tie, or a grid's heat maps."""
    grid = RichTable(title="The best variant at every point", title_justify="left", box=None)
    grid.add_column("point", no_wrap=True)
    for _, title in SHOWN:
        grid.add_column(title, no_wrap=True)
    for table in tables:
        grid.add_row(_point(table, ", "), *(_winner(table, metric) for metric, _ in SHOWN))
    console = Console()
    console = console if console.width >= 150 else Console(width=150)
    if is_grid(tables):
        show_grid(tables, console)
    else:
        console.print(grid, highlight=False, markup=False)
    console.print(f"Tables, figure: {folder}", highlight=False, soft_wrap=True, markup=False)


def variants(tables: Sequence[dict[str, Any]]) -> list[str]:
    """List the rows that are compared with the baseline at any point."""
    rows = [row for table in tables for row in table["rows"]]
    names = [r["name"] for r in rows if r["kind"] == "variant" and r["against"] is not None]
    return list(dict.fromkeys(names))


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
    """Return difference (nan if undefined, or without the row) and verdict on the main split."""
    row = next((r for r in table["rows"] if r["name"] == name), None)
    if row is None:
        return np.nan, ""
    found = row["against"][table["main_split"]][metric]
    value = found["difference"]
    return (np.nan if value is None else value), found["verdict"]


def _point(table: dict[str, Any], between: str) -> str:
    return between.join(f"{k.rpartition('.')[2]} {v}" if between == ", " else str(v)
                        for k, v in table["sweep"].items())  # fmt: skip
