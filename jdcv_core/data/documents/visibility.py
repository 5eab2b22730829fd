"""Which characters of a PDF's page a person can see, by the pixels of the page. Ours.

The page is drawn as it is, and a second time without text. A word is seen if the two pictures
differ where it is: it is then neither in the colour of its background, nor covered, nor cut off,
nor invisible, whatever the file says about it.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pypdfium2 as pdfium
import pypdfium2.raw as raw

from jdcv_core.data.documents.file_text import Box
from jdcv_core.data.documents.glyphs import Glyph

TINY = 2.0
"""Points; smaller text is hidden."""
CONTRAST = 20
"""The least difference of a channel, of 255, that a person sees."""
INK = 0.03
"""The share of a word's area that differs at least, if the word is seen."""
FAINT = 20
"""The opacity, of 255, below which text is not drawn."""
LARGEST = 4e6
"""Pixels of the picture of a page; a larger page is drawn smaller."""
MOST_ALONE = 20
"""Text objects that are examined one by one, where words are on top of each other."""
NOT_DRAWN = (raw.FPDF_TEXTRENDERMODE_INVISIBLE, raw.FPDF_TEXTRENDERMODE_CLIP)


@dataclass
class Word:
    """Characters of one text object without white space between them. place: its pixels"""

    glyphs: list[Glyph]
    place: tuple[slice, slice] = (slice(0), slice(0))


def judge(
    page: pdfium.PdfPage, glyphs: Sequence[Glyph], width: float, height: float, picture: bool
) -> bool:
    """Set `way` of each glyph: "" if it can be seen.

    picture: whether a picture covers most of the page. If no text of it is drawn, and the picture
             has ink where the text is, the text is a layer made by OCR, and counts as seen

    Returns whether there is such a layer. The page cannot be drawn with its text afterwards.
    """
    if not glyphs:
        return False
    words = list(_words(glyphs))
    scale = min(1.0, (LARGEST / (width * height)) ** 0.5)
    objects = list(page.get_objects(filter=[raw.FPDF_PAGEOBJ_TEXT], max_depth=8))
    whole = _picture(page, scale)
    _set_modes(objects, [raw.FPDF_TEXTRENDERMODE_INVISIBLE] * len(objects))
    bare = _picture(page, scale)
    differs = _differs(whole, bare)
    times = np.zeros(differs.shape, np.uint8)
    for word in words:
        word.place = _place(around(word.glyphs), scale, differs.shape)
        times[word.place] += times[word.place] < 255
    doubted: list[Word] = []
    for word in words:
        seen = _share(differs[word.place]) >= INK
        way = _declared(word, width, height) or ("" if seen else _why(word, bare))
        _set_way(word, way)
        if not way and _share(times[word.place] > 1) > 0.5:
            doubted.append(word)
    if doubted:
        modes = {g.look.key: g.look.mode for g in glyphs}
        _judge_alone(page, objects, modes, doubted, whole, bare, scale)
    return picture and _accept_layer(words, bare)


def around(glyphs: Sequence[Glyph]) -> Box:
    """The box around some glyphs, at least one."""
    return (
        min(g.x0 for g in glyphs),
        min(g.top for g in glyphs),
        max(g.x1 for g in glyphs),
        max(g.bottom for g in glyphs),
    )


def _words(glyphs: Sequence[Glyph]) -> Iterator[Word]:
    word: list[Glyph] = []
    for glyph in glyphs:
        ends = glyph.text.isspace() or (word and word[-1].look is not glyph.look)
        if ends and word:
            yield Word(word)
            word = []
        if not glyph.text.isspace():
            word.append(glyph)
    if word:
        yield Word(word)


def _picture(page: pdfium.PdfPage, scale: float) -> np.ndarray:
    """The page as uint8 [row, column, channel], in the order blue, green, red."""
    return page.render(scale=scale, may_draw_forms=False).to_numpy()[:, :, :3].copy()


def _differs(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Where two pictures differ so that a person sees it: bool [row, column]."""
    far = np.maximum(one, other) - np.minimum(one, other) >= CONTRAST
    return far[:, :, 0] | far[:, :, 1] | far[:, :, 2]


def _place(box: Box, scale: float, shape: tuple[int, ...]) -> tuple[slice, slice]:
    """The rows and columns of the pixels of a box that are on the page."""
    x0, y0, x1, y1 = (value * scale for value in box)
    if x1 - x0 < 2:  # PDFium may draw a thin letter in the next row or column
        x0, x1 = x0 - 1, x1 + 1
    if y1 - y0 < 2:
        y0, y1 = y0 - 1, y1 + 1
    rows = slice(max(0, int(y0)), max(0, min(shape[0], int(y1) + 1)))
    return rows, slice(max(0, int(x0)), max(0, min(shape[1], int(x1) + 1)))


def _share(pixels: np.ndarray) -> float:
    """The share of pixels that are set; 0 if there are none."""
    return np.count_nonzero(pixels) / max(pixels.size, 1)


def _declared(word: Word, width: float, height: float) -> str:
    """The way in which a word is hidden by what the file says about it."""
    look = word.glyphs[0].look
    x0, top, x1, bottom = around(word.glyphs)
    if look.mode in NOT_DRAWN or look.alpha < FAINT:
        return "not drawn"
    if not (0 <= (x0 + x1) / 2 <= width and 0 <= (top + bottom) / 2 <= height):
        return "off the page"
    ink = bottom - top if look.turn % 2 == 0 else x1 - x0
    return "tiny" if look.size < TINY and ink < TINY else ""


def _why(word: Word, bare: np.ndarray) -> str:
    """The way in which a word that makes no difference is hidden."""
    return "background colour" if _contrast(word, bare) < CONTRAST else "covered"


def _contrast(word: Word, bare: np.ndarray) -> float:
    """How far the colour of a word is from that of its background."""
    behind = bare[word.place].reshape(-1, 3)
    colour = np.array(word.glyphs[0].look.colour[::-1])
    return float(np.abs(np.median(behind, axis=0) - colour).max()) if len(behind) else 0.0


def _set_way(word: Word, way: str) -> None:
    for glyph in word.glyphs:
        glyph.way = way


def _set_modes(objects: Sequence[Any], modes: Sequence[int]) -> None:
    for one, mode in zip(objects, modes, strict=True):
        raw.FPDFTextObj_SetTextRenderMode(one, mode)


def _judge_alone(
    page: pdfium.PdfPage,
    objects: Sequence[Any],
    modes: dict[int, int],
    words: Sequence[Word],
    whole: np.ndarray,
    bare: np.ndarray,
    scale: float,
) -> None:
    """Judge words on top of each other: the page is drawn without the text object of each."""
    keys = [ctypes.cast(one.raw, ctypes.c_void_p).value or 0 for one in objects]
    shown = [modes.get(key, raw.FPDF_TEXTRENDERMODE_FILL) for key in keys]
    examined = list(dict.fromkeys(word.glyphs[0].look.key for word in words))[:MOST_ALONE]
    for key in examined:
        hidden = raw.FPDF_TEXTRENDERMODE_INVISIBLE
        _set_modes(objects, [hidden if k == key else m for k, m in zip(keys, shown, strict=True)])
        without = _picture(page, scale)
        differs = _differs(whole, without)
        for word in words:
            if word.glyphs[0].look.key == key:
                plain = word.glyphs[0].look.mode == raw.FPDF_TEXTRENDERMODE_FILL
                if plain and _contrast(word, bare) < CONTRAST:
                    _set_way(word, "background colour")
                elif _share(differs[word.place]) < INK:
                    _set_way(word, "covered")


def _accept_layer(words: Sequence[Word], bare: np.ndarray) -> bool:
    """Take the text of a scan as seen where the picture has ink; False if it is no such text."""
    ways = [word.glyphs[0].way for word in words]
    under = [way in ("not drawn", "covered") for way in ways]
    if sum(under) < 0.95 * len(words):
        return False
    for word, is_under in zip(words, under, strict=True):
        behind = bare[word.place]
        if is_under and behind.size and np.ptp(behind.max(axis=2)) > 2 * CONTRAST:
            _set_way(word, "")
    return True
