"""The characters of a PDF's page: where each is, and how it is drawn. Ours."""

from __future__ import annotations

import ctypes
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pypdfium2 as pdfium
import pypdfium2.raw as raw

from jdcv_core.data.documents.refused import check_length

STROKED = (raw.FPDF_TEXTRENDERMODE_STROKE, raw.FPDF_TEXTRENDERMODE_STROKE_CLIP)


_object_of = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int)(
    ctypes.cast(raw.FPDFText_GetTextObject, ctypes.c_void_p).value or 0
)
"""The address of a character's text object. PDFium's own prototype makes a pointer of it, which
takes most of the time of reading a page."""


@dataclass(frozen=True, eq=False)
class Look:
    """How a text object is drawn. size: of its font on the page, in points; turn: quarter turns to
    the right; colour: red, green, blue; alpha: its opacity of 255; mode: PDF's text render mode;
    key: the object's address"""

    size: float
    turn: int
    colour: tuple[int, int, int]
    alpha: int
    mode: int
    key: int


@dataclass(slots=True)
class Glyph:
    """A character on the page, in points from the top left. x0, x1, top, bottom: its ink; start,
    end: of its place on the baseline, (x, y) each; way: in which it is hidden"""

    text: str
    x0: float
    x1: float
    top: float
    bottom: float
    start: tuple[float, float]
    end: tuple[float, float]
    look: Look
    way: str = ""


def glyphs_of(
    page: pdfium.PdfPage, width: float, height: float, most: int
) -> tuple[list[Glyph], int]:
    """The characters of a page in the order of the file, and how many have no Unicode value.

    Raises Refused for more characters than `most`.
    """
    text = page.get_textpage()
    count = raw.FPDFText_CountChars(text.raw)
    check_length(count, most)
    axes, zero = _transform(page, width, height)
    looks: dict[int, Look] = {}
    kept: list[tuple[int, Look]] = []
    places: list[tuple[float, ...]] = []
    left, right, bottom, top, x, y = (ctypes.c_double() for _ in range(6))
    box = [ctypes.byref(value) for value in (left, right, bottom, top)]
    origin, cell = [ctypes.byref(x), ctypes.byref(y)], raw.FS_RECTF()
    unmapped = 0
    look = None
    for index in range(count):
        code = raw.FPDFText_GetUnicode(text.raw, index)
        if code in (10, 13):
            continue
        key = _object_of(text.raw, index)
        if key:
            look = looks.get(key)
            if look is None:
                look = looks[key] = _look_of(text.raw, index, key, axes)
        if look is None:
            continue
        raw.FPDFText_GetCharBox(text.raw, index, *box)
        raw.FPDFText_GetCharOrigin(text.raw, index, *origin)
        raw.FPDFText_GetLooseCharBox(text.raw, index, cell)
        if code < 32 or code > 126:  # a letter of ASCII has a mapping
            unmapped += raw.FPDFText_HasUnicodeMapError(text.raw, index) == 1
        kept.append((code, look))
        ink = (left.value, bottom.value, right.value, top.value)
        places.append((*ink, x.value, y.value, cell.left, cell.bottom, cell.right, cell.top))
    if not kept:
        return [], 0
    points = np.array(places).reshape(-1, 5, 2) @ axes + zero
    glyphs = [_glyph(*one, place) for one, place in zip(kept, points.tolist(), strict=True)]
    return _with_pairs(glyphs), unmapped


def _glyph(code: int, look: Look, points: list[list[float]]) -> Glyph:
    """points: two corners of the ink, the origin, and two corners of the place, (x, y) each"""
    (a, b), (c, d), (x, y), (e, f), (g, h) = points
    end = ((max(e, g), y), (x, max(f, h)), (min(e, g), y), (x, min(f, h)))[look.turn]
    return Glyph(_letter(code), min(a, c), max(a, c), min(b, d), max(b, d), (x, y), end, look)


def _letter(code: int) -> str:
    if code == 2:  # PDFium's mark of a hyphen at the end of a line
        return "-"
    if 0xD800 <= code <= 0xDFFF or code > 0x10FFFF:
        return chr(code) if code <= 0x10FFFF else "\ufffd"
    return " " if code < 32 or code == 0xA0 else chr(code)


def _with_pairs(glyphs: list[Glyph]) -> list[Glyph]:
    """Halves of surrogate pairs as one character."""
    if not any("\ud800" <= g.text <= "\udfff" for g in glyphs):
        return glyphs
    found: list[Glyph] = []
    for glyph in glyphs:
        if found and "\ud800" <= found[-1].text <= "\udbff" and "\udc00" <= glyph.text <= "\udfff":
            pair = (found[-1].text + glyph.text).encode("utf-16", "surrogatepass")
            found[-1].text = pair.decode("utf-16")
        else:
            found.append(glyph)
    for glyph in found:
        glyph.text = "\ufffd" if "\ud800" <= glyph.text <= "\udfff" else glyph.text
    return found


def _transform(page: pdfium.PdfPage, width: float, height: float) -> tuple[np.ndarray, np.ndarray]:
    """axes [2, 2] and zero [2], so that point @ axes + zero is a point of the file in points from
    the top left corner of the page as it is shown: turned and cropped."""
    x, y = ctypes.c_int(), ctypes.c_int()
    sharp = 100  # the function below gives whole numbers

    def shown(a: float, b: float) -> np.ndarray:
        size = (round(width * sharp), round(height * sharp))
        raw.FPDF_PageToDevice(page, 0, 0, *size, 0, a, b, x, y)
        return np.array([x.value, y.value]) / sharp

    zero = shown(0, 0)
    return np.stack([shown(1000, 0) - zero, shown(0, 1000) - zero]) / 1000, zero


def _look_of(text: Any, index: int, key: int, axes: np.ndarray) -> Look:
    """The look of the text object (key: its address) of a character. axes: of `_transform`"""
    matrix = raw.FS_MATRIX()
    raw.FPDFText_GetMatrix(text, index, matrix)
    x, y = (np.array([matrix.a, matrix.b]) @ axes).tolist()
    length = math.hypot(matrix.a, matrix.b)
    upright = abs(matrix.a * matrix.d - matrix.b * matrix.c) / max(length, 1e-9)
    mode = raw.FPDFTextObj_GetTextRenderMode(raw.FPDFText_GetTextObject(text, index))
    channels = [ctypes.c_uint() for _ in range(4)]
    get = raw.FPDFText_GetStrokeColor if mode in STROKED else raw.FPDFText_GetFillColor
    get(text, index, *channels)
    red, green, blue, alpha = (c.value for c in channels)
    size = max(abs(raw.FPDFText_GetFontSize(text, index)) * upright, 0.01)
    turn = round(math.atan2(y, x) / (math.pi / 2)) % 4
    return Look(size, turn, (red, green, blue), alpha, mode, key)
