"""The reading order of the lines of a page: columns, side bars, and rows of tables. Ours.

A page is divided where a gutter separates two columns, as by the whitespace rectangles of Breuel
(2002), "Two geometric algorithms for layout analysis"; whether the two sides are columns or cells
of a table is decided by the order in which the file draws them, and by their lines.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

GUTTER = 0.7
"""The narrowest space between two columns, in font sizes."""
SAME_LINE = 0.35
"""Baselines that differ by less, in font sizes, are one line."""
EDGE = 0.09
"""The share of the page's height, at its top and its bottom, where headers and footers are."""


@dataclass
class Segment:
    """Text on one baseline without a wide gap. x0, x1, top, bottom, base (the baseline), size (of
    the font): points, down from the top; order: its place in the file; content: the caller's"""

    x0: float
    x1: float
    top: float
    bottom: float
    base: float
    size: float
    order: int
    content: Any = field(default=None, repr=False)


Row = list[Segment]
"""Segments on one baseline, from left to right."""
Block = list[Row]
"""Rows of one column, from top to bottom."""


@dataclass(frozen=True)
class Order:
    """The blocks of a page in the order in which a person reads them. header, footer: rows at the
    edge of the page, apart from all others; columns: how many are side by side at most"""

    header: Block
    body: list[Block]
    footer: Block
    columns: int


def reading_order(segments: Sequence[Segment], height: float) -> Order:
    """The order of the segments of a page.

    segments: of one direction of writing
    height:   of the page, in points

    >>> def text(x, y, at):
    ...     return Segment(x, x + 200, y - 8, y + 2, y, 10, at, f"{x}-{y}")
    >>> left, right = [text(50, 100 + 12 * n, n) for n in range(4)], []
    >>> right = [text(300, 100 + 12 * n, n + 4) for n in range(4)]
    >>> order = reading_order(right + left, 800)
    >>> order.columns, [block[0][0].content for block in order.body]
    (2, ['50-100', '300-100'])
    """
    top, body, bottom = _margins(sorted(segments, key=lambda s: s.base), height)
    blocks, columns = _divide(body)
    return Order(_rows(top), blocks, _rows(bottom), columns)


def _margins(ordered: list[Segment], height: float) -> tuple[list, list, list]:
    """The header and the footer: lines at the edge of the page that a gap separates from it."""
    start, end = 0, len(ordered)
    for at in range(1, len(ordered)):
        if ordered[at - 1].bottom > EDGE * height:
            break
        if ordered[at].top - ordered[at - 1].bottom > 1.5 * ordered[at].size:
            start = at
    for at in range(len(ordered) - 1, start, -1):
        if ordered[at].top < (1 - EDGE) * height:
            break
        if ordered[at].top - ordered[at - 1].bottom > 1.5 * ordered[at - 1].size:
            end = at
    return ordered[:start], ordered[start:end], ordered[end:]


def _divide(segments: list[Segment]) -> tuple[list[Block], int]:
    """The blocks of a region. It is divided at the highest gutter whose sides are columns."""
    if not segments:
        return [], 0
    for _, left, right in sorted(_gutters(segments), key=lambda g: -g[0]):
        if not are_columns(left, right):
            continue
        inside = {id(s) for s in (*left, *right)}
        first = min(s.base for s in (*left, *right))
        rest = [s for s in segments if id(s) not in inside]
        above = [s for s in rest if s.base < first]
        below = [s for s in rest if s.base >= first]
        parts = [_divide(part) for part in (above, left, right, below)]
        counts = [count for _, count in parts]
        blocks = [block for part, _ in parts for block in part]
        return blocks, max(counts[0], counts[1] + counts[2], counts[3])
    return [_rows(segments)], 1


def _gutters(segments: list[Segment]) -> list[tuple[float, list[Segment], list[Segment]]]:
    """Heights and sides of the vertical spaces that no segment crosses."""
    ordered = sorted(segments, key=lambda s: s.base)
    least = GUTTER * median(s.size for s in segments)
    starts: list[float] = []
    for x in sorted(s.x0 for s in segments):
        if not starts or x - starts[-1] > 2:
            starts.append(x)
    found = []
    for x in starts[1:]:
        left: list[Segment] = []
        right: list[Segment] = []
        for segment in [*ordered, None]:
            crosses = segment is None or (segment.x0 < x - 1 and segment.x1 > x - least)
            if not crosses and segment is not None:
                (right if segment.x0 >= x - 1 else left).append(segment)
                continue
            if min(_lines(left), _lines(right)) > 1:
                found.append((_common_height(left, right), left, right))
            left, right = [], []
    return found


def _common_height(left: list[Segment], right: list[Segment]) -> float:
    ends = min(max(s.bottom for s in side) for side in (left, right))
    return ends - max(min(s.top for s in side) for side in (left, right))


def _lines(side: Sequence[Segment]) -> int:
    """The number of baselines of a side."""
    bases = sorted((s.base, s.size) for s in side)
    return sum(
        at == 0 or base - bases[at - 1][0] > SAME_LINE * size
        for at, (base, size) in enumerate(bases)
    )


def are_columns(left: Sequence[Segment], right: Sequence[Segment]) -> bool:
    """Whether two sides are columns, each read to its end, and not cells of a table.

    Only the lines count that are as high as some line of the other side.

    - A few lines next to a long text, each on a baseline of it and far from each other (dates,
      labels), are cells.
    - Sides that the file draws one after the other are columns.
    - Sides that it draws line by line are columns if both are dense lines of text that fill them.
    """
    start = max(min(s.top for s in side) for side in (left, right))
    end = min(max(s.bottom for s in side) for side in (left, right))
    left, right = ([s for s in side if s.bottom > start and s.top < end] for side in (left, right))
    few, many = sorted((left, right), key=_lines)
    least = _lines(few)
    if least < 2:
        return False
    aligned = _aligned(few, many)
    spaced = _spacing(few) > 1.5 * max(1.0, _spacing(many))
    if aligned > 0.9 and (spaced or least < 3):
        return False
    sides = {id(s): 0 for s in left} | {id(s): 1 for s in right}
    drawn = [sides[id(s)] for s in sorted((*left, *right), key=lambda s: s.order)]
    switches = sum(a != b for a, b in zip(drawn, drawn[1:], strict=False))
    if switches <= max(1.0, 0.3 * least):
        return True
    if aligned < 0.7:
        return least > 2
    dense = all(_spacing(side) < 2 and _fill(side) > 0.55 for side in (left, right))
    return switches > 1.5 * least and dense and least > 3


def _aligned(few: Sequence[Segment], many: Sequence[Segment]) -> float:
    """The share of segments that are on a baseline of the other side."""
    bases = [s.base for s in many]
    near = [min(abs(s.base - base) for base in bases) < SAME_LINE * s.size for s in few]
    return sum(near) / len(near)


def _spacing(side: Sequence[Segment]) -> float:
    """The median distance of neighbouring baselines, in font sizes."""
    bases = sorted(s.base for s in side)
    size = median(s.size for s in side)
    steps = [b - a for a, b in zip(bases, bases[1:], strict=False) if b - a > SAME_LINE * size]
    return median(steps) / size if steps else 1.0


def _fill(side: Sequence[Segment]) -> float:
    """The mean width of a segment, as a share of its side's."""
    width = max(s.x1 for s in side) - min(s.x0 for s in side)
    return sum(s.x1 - s.x0 for s in side) / len(side) / max(width, 1e-9)


def _rows(segments: Sequence[Segment]) -> Block:
    """Rows in the order of the file if it goes down and to the right, else by their baselines."""
    drawn = sorted(segments, key=lambda s: s.order)
    ordered = drawn if _goes_down(drawn) else sorted(segments, key=lambda s: s.base)
    rows: Block = []
    for segment in ordered:
        same = rows and abs(segment.base - rows[-1][0].base) < SAME_LINE * segment.size
        if same and (ordered is not drawn or segment.x0 >= rows[-1][-1].x1 - 1):
            rows[-1].append(segment)
        else:
            rows.append([segment])
    return [sorted(row, key=lambda s: s.x0) for row in rows]


def _goes_down(drawn: Sequence[Segment]) -> bool:
    """Whether each segment is below the one before it, or to the right of it in the same row of
    cells: a cell of several lines is drawn to its end before the next one begins."""
    if not drawn:
        return True
    row = drawn[0].base
    for before, here in zip(drawn, drawn[1:], strict=False):
        tolerance = SAME_LINE * here.size
        to_the_right = here.x0 >= before.x1 - tolerance or here.x0 > before.x0 + 2 * here.size
        if here.base > before.base + tolerance:
            row = here.base if here.x0 < before.x0 - tolerance else row
        elif not to_the_right or here.base < row - tolerance:
            return False
    return True
