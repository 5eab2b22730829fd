"""A PDF → its lines in reading order, each with page, box and what is hidden of it. Ours.

By pypdfium2 (BSD-3-Clause and Apache-2.0, release 5.15 of 2026), which binds Google's PDFium.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import pypdfium2 as pdfium
import pypdfium2.raw as raw

from jdcv_core.data.documents import visibility
from jdcv_core.data.documents.assembly import assemble
from jdcv_core.data.documents.file_text import (
    Box,
    FileText,
    HiddenMode,
    Limits,
    Page,
    Piece,
    RawLine,
)
from jdcv_core.data.documents.garbled import garbled
from jdcv_core.data.documents.glyphs import Glyph, glyphs_of
from jdcv_core.data.documents.layout import Block, Row, reading_order
from jdcv_core.data.documents.refused import Refused
from jdcv_core.data.documents.segments import is_right_to_left, segments_of, turned
from jdcv_core.data.documents.unwrap import joins, without_repeats

RECOGNISE = "recognise its text (OCR, for example by ocrmypdf), and give the result"


def read_pdf(
    data: bytes, hidden: HiddenMode, limits: Limits, next_page: Callable[[int], None]
) -> FileText:
    """The text of a PDF.

    next_page: called with the index of each page before it is read

    Raises Refused for a file that is encrypted, broken, too large, without text (a scan) or
    garbled (a text layer whose codes are no letters).
    """
    document = _open(data)
    count = len(document)
    if count > limits.pages:
        raise Refused(f"it has {count} pages, more than {limits.pages}", "give the CV or JD alone")
    pages, empty, layers, unmapped = [], [], [], 0
    raw_pages: list[list[RawLine]] = []
    pictures = 0
    for index in range(count):
        next_page(index)
        page = _page(document, index)
        pictures += _picture_pixels(page)
        if pictures > limits.megapixels * 1e6:
            what = f"its pictures have more than {limits.megapixels} megapixels"
            raise Refused(what, "make them smaller, or save it as text (.txt)")
        found = _read_page(page, index + 1, hidden, limits)
        raw_pages.append(found.lines)
        pages.append(found.page)
        unmapped += found.unmapped
        empty += [index + 1] if found.is_scan else []
        layers += [index + 1] if found.is_layer else []
    lines, repeated = without_repeats(raw_pages)
    read = assemble("PDF", lines, hidden, pages, [*_notes(empty, layers), *repeated])
    if not read.text.strip():
        if empty:
            raise Refused("it is a scan: its pages are pictures without text", RECOGNISE)
        what = "all its text is hidden" if read.hidden else "it has no text"
        raise Refused(what, "open it in a viewer, and save what you see as text (.txt)")
    if garbled(read.text, unmapped):
        what = "its text layer is garbled: its codes are no letters (fonts without a mapping)"
        raise Refused(what, f"save it again from its program, or {RECOGNISE}")
    return read


def page_picture(data: bytes, number: int, scale: float) -> bytes:
    """A page as a PNG picture. number: from 1; scale: pixels a point. Raises Refused."""
    import io

    document = _open(data)
    if not 1 <= number <= len(document):
        raise Refused(f"it has {len(document)} pages, and no page {number}", "give another number")
    page = _page(document, number - 1)
    if page.get_width() * page.get_height() * scale**2 > 3e7:
        raise Refused(f"page {number} is too large for a picture", "give a smaller scale")
    file = io.BytesIO()
    page.render(scale=scale).to_pil().save(file, "PNG")
    return file.getvalue()


def _open(data: bytes) -> pdfium.PdfDocument:
    try:
        document = pdfium.PdfDocument(data)
        if len(document) == 0:
            raise Refused("it is a PDF without pages", "save it again, or as text (.txt)")
        return document
    except pdfium.PdfiumError as error:
        if getattr(error, "err_code", 0) in (raw.FPDF_ERR_PASSWORD, raw.FPDF_ERR_SECURITY):
            what = "it is encrypted and opens with a password only"
            raise Refused(what, "save a copy without the password") from error
        raise Refused("it is a damaged PDF", "get a whole copy, or save it as text") from error


def _page(document: pdfium.PdfDocument, index: int) -> pdfium.PdfPage:
    """A page, with the text of its form fields and notes."""
    try:
        page = document[index]
        if raw.FPDFPage_GetAnnotCount(page):
            done = raw.FPDFPage_Flatten(page, raw.FLAT_NORMALDISPLAY)
            if done == raw.FLATTEN_SUCCESS:
                page.close()
                page = document[index]
        return page
    except pdfium.PdfiumError as error:
        what = f"its page {index + 1} is damaged"
        raise Refused(what, "get a whole copy, or save it as text") from error


def _picture_pixels(page: pdfium.PdfPage) -> int:
    width, height = ctypes.c_uint(), ctypes.c_uint()
    pixels = 0
    for picture in page.get_objects(filter=[raw.FPDF_PAGEOBJ_IMAGE], max_depth=5):
        if raw.FPDFImageObj_GetImagePixelSize(picture, width, height):
            pixels += width.value * height.value
    return pixels


def _notes(empty: list[int], layers: list[int]) -> Iterator[str]:
    for number in empty:
        yield f"page {number} is a picture without text, and is not read"
    for number in layers:
        yield f"page {number} is a scan; its text was recognised by a program and may have errors"


@dataclass(frozen=True)
class _PageText:
    """What a page has. unmapped: characters without a Unicode value; is_scan: a picture without
    text; is_layer: a picture under invisible text (OCR)"""

    page: Page
    lines: list[RawLine]
    unmapped: int
    is_scan: bool
    is_layer: bool


def _read_page(page: pdfium.PdfPage, number: int, hidden: HiddenMode, limits: Limits) -> _PageText:
    width, height = page.get_size()
    glyphs, unmapped = glyphs_of(page, width, height, limits.characters)
    has_picture = _covered_by_picture(page) > 0.5
    is_layer = visibility.judge(page, glyphs, width, height, has_picture)
    seen = glyphs if hidden == "keep" else [g for g in glyphs if not g.way]
    mixed = any(is_right_to_left(g.text) for g in glyphs)
    lines: list[RawLine] = []
    columns = 0
    for turn in sorted({g.look.turn for g in glyphs}):
        own = [g for g in seen if g.look.turn == turn]
        across = width if turn % 2 else height
        order = reading_order(segments_of(own, turn, width, height, mixed), across)
        columns = max(columns, order.columns)
        for block in filter(None, (order.header, *order.body, order.footer)):
            at_edge = block is order.header or block is order.footer
            lines += _lines(block, number, turn, width, height, at_edge)
    if hidden == "drop":
        lines += [_hidden_line(own, number) for own in _runs_of_hidden(glyphs)]
    characters = sum(not g.text.isspace() and not g.way for g in glyphs)
    about = Page(number, round(width, 1), round(height, 1), columns, characters)
    is_scan = has_picture and characters == 0
    return _PageText(about, lines, unmapped, is_scan, is_layer)


def _covered_by_picture(page: pdfium.PdfPage) -> float:
    """The share of the page that its largest picture covers."""
    width, height = page.get_width(), page.get_height()
    largest = 0.0
    for picture in page.get_objects(filter=[raw.FPDF_PAGEOBJ_IMAGE], max_depth=5):
        left, bottom, right, top = picture.get_bounds()
        largest = max(largest, (right - left) * (top - bottom))
    return largest / (width * height)


def _lines(
    block: Block, number: int, turn: int, width: float, height: float, at_edge: bool
) -> Iterator[RawLine]:
    """The rows of a block; lines of one paragraph are joined by a space, as far as can be seen.

    number: of the page; turn: of the block; at_edge: whether it is a header or a footer
    """
    for row, below in zip(block, [*block[1:], None], strict=True):
        pieces = _pieces(row)
        after = joins(block, row, below) if below else "\n"
        if after == "":  # a word that is divided at the end of the line
            last = pieces[-1]
            pieces[-1] = replace(last, text=last.text.rstrip()[:-1])
        flat = (
            min(s.x0 for s in row),
            min(s.top for s in row),
            max(s.x1 for s in row),
            max(s.bottom for s in row),
        )
        box = _rounded(turned(flat, -turn % 4, *_turned_size(turn, width, height)))
        yield RawLine(tuple(pieces), number, box, after, at_edge)


def _turned_size(turn: int, width: float, height: float) -> tuple[float, float]:
    return (height, width) if turn % 2 else (width, height)


def _pieces(row: Row) -> list[Piece]:
    """The text of a row, parted where something hidden begins or ends; segments are separated by
    a tab."""
    pieces: list[Piece] = []
    for at, segment in enumerate(row):
        if at:
            pieces.append(Piece("\t"))
        part: list[Glyph] = []
        for glyph, _ in segment.content:
            if part and glyph.way != part[0].way:
                pieces.append(_piece(part))
                part = []
            part.append(glyph)
        pieces.append(_piece(part))
    last = pieces[-1]
    pieces[-1] = replace(last, text=last.text.rstrip())
    return pieces


def _piece(glyphs: Sequence[Glyph]) -> Piece:
    text = "".join(g.text for g in glyphs)
    inked = [g for g in glyphs if not g.text.isspace()] or list(glyphs)
    return Piece(text, glyphs[0].way, _rounded(visibility.around(inked)))


def _hidden_line(glyphs: Sequence[Glyph], number: int) -> RawLine:
    piece = _piece(glyphs)
    return RawLine((piece,), number, piece.box)


def _runs_of_hidden(glyphs: Sequence[Glyph]) -> Iterator[list[Glyph]]:
    """Neighbours in the file that are hidden in one way."""
    run: list[Glyph] = []
    for glyph in glyphs:
        if run and glyph.way != run[-1].way:
            if run[0].way:
                yield run
            run = []
        run.append(glyph)
    if run and run[0].way:
        yield run


def _rounded(box: Box) -> Box:
    x0, y0, x1, y1 = (round(value, 1) for value in box)
    return x0, y0, x1, y1
