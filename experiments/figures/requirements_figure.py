"""Show one pair: the requirements of the JD, and the lines of the CV that answer them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.patches import PathPatch, Rectangle
from matplotlib.path import Path as Curve

from jdcv_core.evaluation.formats import shortened
from jdcv_core.requirements import STATES, Answer, Requirement

COLOURS = dict(zip(STATES, ("#1b7837", "#e08214", "#b2182b"), strict=True))
MOST_NOTES = 3
MOST = 24
"""Number of requirements that are drawn; the most important ones."""
LEFT, RIGHT, END = 5.2, 7.0, 12.6
"""Where the requirements end and the CV begins and ends, in inches."""
ROW = 0.34
"""Height of a row in inches."""
WIDEST = 11.0
"""Width in points of a link whose requirement is covered and has the largest importance."""
INK, PALE = "#1f2430", "#7b8294"
CENTRED: dict[str, Any] = {"va": "center", "parse_math": False}
"""A "$" in a text is a dollar, no formula."""


def draw(
    path: Path, requirements: Sequence[Requirement], title: str, notes: Sequence[str] = ()
) -> None:
    """Draw requirements on the left, and on the right the line that answers each of them best.

    The width of a link is importance times covered share, so a missing requirement has hardly any.
    The lines of the CV are grouped by experience. Requirements of negligible importance are counted
    below the figure.

    requirements, notes: as of `jdcv_core.explanation.Explanation`; at most MOST_NOTES are shown
    """
    shown = sorted((r for r in requirements if r.listed), key=lambda r: -r.importance)[:MOST]
    shown.sort(key=lambda r: (STATES.index(r.state), r.answers[0].index))
    found = [r for r in shown if r.state != STATES[-1]]
    right = _cv_rows([r.answers[0] for r in found])
    rows = max(len(shown), len(right))
    below = [*notes[:MOST_NOTES]]
    below += [f"and {len(notes) - MOST_NOTES} more notes"] if len(notes) > MOST_NOTES else []
    bottom = -1.1 - 0.75 * len(below)
    height = ROW * (rows + 1.5 - bottom)
    figure, axis = plt.subplots(figsize=(END, height))
    figure.subplots_adjust(0.01, 0.01, 0.99, 0.99)
    axis.set(xlim=(0, END), ylim=(bottom, rows + 1.5))
    axis.axis("off")
    axis.text(0, rows + 1.05, title, fontsize=11, weight="bold", color=INK, **CENTRED)
    most = max((r.importance for r in shown), default=1.0)

    for left, words in ((0, "requirements of the JD"), (RIGHT, "the CV's best line for each")):
        axis.text(left, rows + 0.3, words, fontsize=8.5, color=PALE, **CENTRED)
    ends = {}
    for n, row in enumerate(right):
        y = rows - n - 0.5
        if isinstance(row, str):
            axis.text(RIGHT, y, row, fontsize=8, weight="bold", color=INK, **CENTRED)
        else:
            axis.text(RIGHT + 0.16, y, shortened(row.text, 68), fontsize=8.5, color=INK, **CENTRED)
            ends[row.index] = y
    for n, r in enumerate(shown):
        y, colour = rows - n - 0.5, COLOURS[r.state]
        _requirement(axis, r, y, r.importance / most)
        if r in found:
            width = WIDEST * r.importance * r.covered / most
            _link(axis, y, ends[r.answers[0].index], colour, width)
    _legend(axis, shown, len(requirements))
    for n, note in enumerate(below):
        text = shortened(note, 190)
        axis.text(0, -1.25 - 0.75 * n, text, fontsize=8, color=COLOURS["missing"], **CENTRED)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def _cv_rows(answers: Sequence[Answer]) -> list[str | Answer]:
    """The answers in the CV's order, each once, with a header for each experience."""
    rows: list[str | Answer] = []
    before = None
    for answer in sorted({a.index: a for a in answers}.values(), key=lambda a: a.index):
        header = answer.experience or "no dated experience"
        rows += [header] if header != before else []
        rows.append(answer)
        before = header
    return rows


def _requirement(axis: Axes, r: Requirement, y: float, share: float) -> None:
    """The text of a requirement with a bar as long as its importance."""
    axis.add_patch(
        Rectangle((LEFT + 0.06, y - 0.3), 0.09, 0.6, facecolor=COLOURS[r.state], linewidth=0)
    )
    axis.add_patch(
        Rectangle((0, y - 0.42), LEFT * share, 0.84, facecolor="#eef0f5", linewidth=0, zorder=0)
    )
    axis.text(0.08, y, shortened(r.text, 66), fontsize=8.5, color=INK, **CENTRED)
    axis.text(LEFT, y, f"{r.covered:.2f}", fontsize=8, color=PALE, ha="right", **CENTRED)


def _link(axis: Axes, y: float, end: float, colour: str, width: float) -> None:
    start, stop = LEFT + 0.15, RIGHT + 0.08
    middle = (start + stop) / 2
    curve = Curve([(start, y), (middle, y), (middle, end), (stop, end)], [1, 4, 4, 4])
    wide = max(0.6, width)
    axis.add_patch(
        PathPatch(curve, fill=False, edgecolor=colour, capstyle="butt", alpha=0.55, linewidth=wide)
    )


def _legend(axis: Axes, shown: Sequence[Requirement], of: int) -> None:
    left = 0.0
    for state in STATES:
        count = sum(r.state == state for r in shown)
        axis.add_patch(Rectangle((left, -0.75), 0.12, 0.5, facecolor=COLOURS[state], linewidth=0))
        axis.text(left + 0.2, -0.5, f"{state} {count}", fontsize=8.5, color=INK, va="center")
        left += 1.25
    said = "grey bar: importance; number: covered share; width of a link: their product"
    left_out = of - len(shown)
    said += f"; {left_out} lines of the JD are left out" if left_out else ""
    axis.text(left, -0.5, said, fontsize=8.5, color=PALE, va="center")
