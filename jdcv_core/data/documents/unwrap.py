"""Lines of pages → lines of the document: wrapped ones joined, repeated ones left out. Ours."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence

from jdcv_core.data.documents.file_text import RawLine
from jdcv_core.data.documents.layout import Block, Row, Segment

ENDS = re.compile(r"[.:;!?]\W*$")
"""How a sentence ends, or a label."""
BULLET = re.compile(r"\W*[•▪◦‣●○■□–—*·►✓\uf0a7\uf0b7-]\s|\(?\d{1,2}[.)]\s")


def joins(block: Block, row: Row, below: Row) -> str:
    """What separates a row from the one below it: a line end, a space if a line was wrapped there,
    or nothing if a word was divided.

    A line was wrapped if the first word below would not have fitted into it: a writer who begins a
    line on purpose leaves room as a rule. Both must be single segments at one margin, of one size
    and at the usual distance, and the line below must not begin with a bullet.
    """
    if len(row) > 1 or len(below) > 1:
        return "\n"
    (here,), (next_,) = row, below
    one_size = abs(here.size - next_.size) < 0.05 * here.size
    near = next_.base - here.base < 1.1 * leading(block)
    text, following = _text(here), _text(next_)
    if not (one_size and near) or BULLET.match(following):
        return "\n"
    indented = next_.x0 - here.x0
    if not (-0.5 <= indented / here.size < 2.5 if BULLET.match(text) else abs(indented) < 2):
        return "\n"
    edge = max(row[-1].x1 for row in block)
    letters = [box for glyph, box in next_.content[: len(following.split(" ")[0])] if box]
    word = max(box[2] for box in letters) - min(box[0] for box in letters) if letters else 0.0
    if here.x1 + 0.2 * here.size + word <= edge:
        return "\n"
    if text.endswith("-") and following[0].islower() and text[-2:-1].isalpha():
        return ""
    full = sum(abs(other[-1].x1 - edge) < 0.04 * (edge - here.x0) for other in block) > 1
    if ENDS.search(text) or not (full or following[0].islower()):
        return "\n"
    return " "


def leading(block: Block) -> float:
    """The distance of the lines of a paragraph: the smallest of two neighbouring rows, in points;
    at most 1.9 font sizes."""
    steps = [below[0].base - row[0].base for row, below in zip(block, block[1:], strict=False)]
    sizes = [row[0].size for row in block]
    return min(s for s in [*steps, 1.9 * max(sizes)] if s > 0.9 * min(sizes))


def without_repeats(pages: Sequence[Sequence[RawLine]]) -> tuple[list[RawLine], list[str]]:
    """The lines of all pages, and a note on what is left out: headers and footers that are at the
    same place of every page, equal but for their numbers, are kept once.

    >>> from jdcv_core.data.documents.file_text import Piece, RawLine
    >>> def line(text, page, y):
    ...     return RawLine((Piece(text),), page, (50, y, 200, y + 10), at_edge=y < 40)
    >>> pages = [[line(f"Ada, page {n}", n, 30), line(f"Job {n}", n, 300)] for n in (1, 2)]
    >>> [kept.pieces[0].text for kept in without_repeats(pages)[0]]
    ['Ada, page 1', 'Job 1', 'Job 2']
    """
    places: dict[tuple[str, int], set[int]] = defaultdict(set)
    for line in (line for page in pages for line in page if line.at_edge):
        places[_frame(line)].add(line.page)
    repeated = {frame for frame, there in places.items() if len(there) == len(pages) > 1}
    kept: list[RawLine] = []
    seen: set[tuple[str, int]] = set()
    lines = [line for page in pages for line in page]
    for line in lines:
        frame = _frame(line) if line.at_edge else None
        if frame not in repeated or frame not in seen:
            kept.append(line)
        if frame:
            seen.add(frame)
    left_out = len(lines) - len(kept)
    return kept, [f"lines repeated on every page are kept once: {left_out}"] if left_out else []


def _frame(line: RawLine) -> tuple[str, int]:
    """A header or footer without its numbers, and its height on the page to 3 points."""
    text = "".join(piece.text for piece in line.pieces)
    return re.sub(r"\d+", "0", text).strip(), round(line.box[1] / 3) if line.box else 0


def _text(segment: Segment) -> str:
    return "".join(glyph.text for glyph, _ in segment.content).strip()
