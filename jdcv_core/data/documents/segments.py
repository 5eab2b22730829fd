"""The characters of a page → segments of lines: text on one baseline without a wide gap. Ours."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import replace

from jdcv_core.data.documents.file_text import Box
from jdcv_core.data.documents.glyphs import Glyph
from jdcv_core.data.documents.layout import SAME_LINE, Segment

GAP = 0.9
"""A wider gap between characters, in font sizes, separates segments."""
SPACE = 0.2
"""A wider gap, in font sizes, is a space, also where the file has none."""
Content = list[tuple[Glyph, Box | None]]
"""The glyphs of a segment, each with its box on the turned page; spaces have none."""


def turned(box: Box, turn: int, width: float, height: float) -> Box:
    """A box on the page, as it is after the page is turned so that its text is upright."""
    x0, y0, x1, y1 = box
    if turn == 1:  # written downwards
        return y0, width - x1, y1, width - x0
    if turn == 2:
        return width - x1, height - y1, width - x0, height - y0
    if turn == 3:  # written upwards
        return height - y1, x0, height - y0, x1
    return box


def segments_of(
    glyphs: Sequence[Glyph], turn: int, width: float, height: float, mixed: bool
) -> list[Segment]:
    """The glyphs of one direction as segments, each with a `Content`.

    turn:  quarter turns to the right of their text; width, height: of the page
    mixed: whether the page has text that is written from right to left; the order of its glyphs is
           then that on the page, because PDFium reverses the words of some lines
    """
    segments: list[Segment] = []
    here: Segment | None = None
    for glyph in glyphs:
        if glyph.text.isspace():
            if here is not None and not mixed:
                here.content.append((glyph, None))
            continue
        box, base = _place(glyph, turn, width, height)
        size = glyph.look.size
        if here is None or mixed or not _continues(here, box, base, size):
            here = Segment(*box[::2], *box[1::2], base, size, len(segments), [])
            segments.append(here)
        elif box[0] - here.x1 > SPACE * size and here.content[-1][1]:
            here.content.append(_space(here.content))
        here.content.append((glyph, box))
        here.x0, here.x1 = min(here.x0, box[0]), max(here.x1, box[2])
        here.top, here.bottom = min(here.top, box[1]), max(here.bottom, box[3])
    if not mixed:
        return _merged(segments, -0.1, SPACE)
    segments = _merged(segments, -2, GAP)
    for segment in segments:
        segment.content = _in_reading_order(segment.content)
    return segments


def _place(glyph: Glyph, turn: int, width: float, height: float) -> tuple[Box, float]:
    """The box of a glyph on the turned page, as wide as its place on the line, and its baseline."""
    x0, top, x1, bottom = turned((glyph.x0, glyph.top, glyph.x1, glyph.bottom), turn, width, height)
    start, base, _, _ = turned(glyph.start * 2, turn, width, height)
    end, _, _, _ = turned(glyph.end * 2, turn, width, height)
    if 0 < end - start < 3 * glyph.look.size:  # otherwise the font says nothing of use
        x0, x1 = start, end
    return (x0, top, x1, bottom), base


def _continues(here: Segment, box: Box, base: float, size: float) -> bool:
    """Whether a glyph belongs to a segment: the same baseline, or a raised or lowered character,
    and no wide gap on either side (the letters of Arabic and Hebrew go to the left)."""
    large = max(size, here.size)
    if abs(base - here.base) > SAME_LINE * large:
        return False
    return here.x0 - GAP * large < box[2] and box[0] < here.x1 + GAP * large


def _merged(segments: list[Segment], least: float, most: float) -> list[Segment]:
    """Segments on one baseline as one, if the gap between them is within these font sizes, also
    where the file draws them apart."""
    merged: list[Segment] = []
    for segment in sorted(segments, key=lambda s: (round(s.base), s.x0)):
        last = merged[-1] if merged else None
        near = last and abs(last.base - segment.base) < 0.1 * segment.size
        between = (segment.x0 - last.x1) / segment.size if last else 0.0
        if last and near and least < between < most:
            last.content += ([_space(last.content)] if between > SPACE else []) + segment.content
            last.x1, last.order = segment.x1, min(last.order, segment.order)
            last.top, last.bottom = min(last.top, segment.top), max(last.bottom, segment.bottom)
        else:
            merged.append(segment)
    return merged


def _space(content: Content) -> tuple[Glyph, None]:
    return replace(content[-1][0], text=" "), None


def is_right_to_left(text: str) -> bool:
    """Whether a character is of a script that is written from right to left."""
    return text > "\u0590" and unicodedata.bidirectional(text[:1]) in ("R", "AL")


def _in_reading_order(content: Content) -> Content:
    """Glyphs from left to right, as the words that a person reads: those of Arabic or Hebrew, and
    their letters, from right to left."""
    words: list[Content] = [[]]
    for glyph, box in content:
        if box is None:
            words.append([])
        else:
            words[-1].append((glyph, box))
    words = [word for word in words if word]
    backwards = [any(is_right_to_left(glyph.text) for glyph, _ in word) for word in words]
    for word, back in zip(words, backwards, strict=True):
        if back:  # letters of one ligature keep their order
            word.sort(key=lambda one: -one[0].x0)
    forwards = [any(glyph.text.isalpha() for glyph, _ in word) for word in words]
    if 2 * sum(backwards) > sum(forwards):
        words.reverse()
    else:
        words = _runs_reversed(words, backwards)
    ordered: Content = []
    for word in words:
        ordered += ([_space(ordered)] if ordered else []) + word
    return ordered


def _runs_reversed(words: list[Content], backwards: list[bool]) -> list[Content]:
    """Words from left to right, of which each series that is written backwards is reversed."""
    found: list[Content] = []
    run: list[Content] = []
    for word, back in zip(words, backwards, strict=True):
        if back:
            run.insert(0, word)
        else:
            found += [*run, word]
            run = []
    return found + run
