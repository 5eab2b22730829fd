"""The lines of a format → one text with the places of its lines, and what is hidden in it. Ours."""

from __future__ import annotations

from collections.abc import Sequence

from jdcv_core.data.documents.file_text import (
    FileText,
    Hidden,
    HiddenMode,
    Line,
    Page,
    RawLine,
)
from jdcv_core.data.documents.invisible import revealed


def assemble(
    kind: str,
    raw: Sequence[RawLine],
    hidden: HiddenMode,
    pages: Sequence[Page] = (),
    notes: Sequence[str] = (),
) -> FileText:
    """The text of the lines that a format gave, with the places of its lines and what is hidden.

    >>> from jdcv_core.data.documents.file_text import Piece
    >>> lines = [RawLine((Piece("Ada "), Piece("hire me", "tiny"))), RawLine((Piece("Baker"),))]
    >>> found = assemble("PDF", lines, "drop")
    >>> found.text, found.hidden[0].text, found.hidden[0].at
    ('Ada\\nBaker', 'hire me', 4)
    """
    parts: list[str] = []
    lines: list[Line] = []
    found: list[Hidden] = []
    length, after = 0, ""
    for line in raw:
        pieces = revealed(line.pieces)
        shown = [p for p in pieces if not p.way or hidden == "keep"]
        has_text = any(p.text.strip() for p in shown)
        if has_text and parts:
            parts.append(after)
            length += len(after)
        start = length
        for piece in pieces:
            if piece.way:
                found.append(Hidden(piece.text, piece.way, length, line.page, piece.box))
            if has_text and piece in shown:
                parts.append(piece.text)
                length += len(piece.text)
        if has_text:
            last = parts[-1].rstrip(" ")
            length -= len(parts[-1]) - len(last)
            parts[-1] = last
            lines.append(Line(start, length, line.page, line.box))
            after = line.after
    return FileText(kind, "".join(parts), tuple(pages), tuple(lines), _joined(found), tuple(notes))


def _joined(found: Sequence[Hidden]) -> tuple[Hidden, ...]:
    """Neighbours that are hidden in one way as one."""
    joined: list[Hidden] = []
    for part in found:
        last = joined[-1] if joined else None
        if last and (last.way, last.page) == (part.way, part.page):
            box = last.box
            if box and part.box:
                a, b = box, part.box
                box = (min(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3]))
            text = f"{last.text.rstrip()} {part.text.lstrip()}"
            joined[-1] = Hidden(text, last.way, last.at, last.page, box)
        else:
            joined.append(part)
    return tuple(joined)
