"""What was read of an uploaded file, with a picture of its pages. Ours."""

from __future__ import annotations

from io import BytesIO

import streamlit as st
from PIL import Image, ImageDraw

from experiments.demo.desk import Upload
from experiments.demo.evidence_html import Shown
from experiments.demo.inert import visible
from jdcv_core.data.documents.file_text import Box, FileText
from jdcv_core.data.documents.reading import page_picture
from jdcv_core.errors import InputError
from research.experience.parsing import parse_cv

SCALE = 1.5
"""Pixels a point in the picture of a page."""
LINE, HIDDEN = "#3b6fb6", "#d62728"


def show_file(upload: Upload, called: str, shown: Shown) -> None:
    """The report; in blind mode without the picture, which would show the name.

    called: the name of the file, for messages; shown: hides the person's name in blind mode
    """
    read = upload.read
    st.text(f"{read.kind}, {len(read.text):,} characters")
    if read.pages:
        st.dataframe(
            [{"page": p.number, "columns": p.columns, "characters": p.characters}
             for p in read.pages],
            hide_index=True,
        )  # fmt: skip
    for part in read.hidden:
        place = f", page {part.page}" if part.page else ""
        st.warning(f"Hidden text ({part.way}{place}), left out of the score:")
        st.text(visible(shown(part.text)))
    parsed = parse_cv(read.text)
    dates = ", ".join(e.written for e in parsed.experiences)
    st.text(f"dates read: {visible(dates) or 'none'}")
    for line in (*(f"date not read: {u}" for u in parsed.unread), *read.notes):
        st.text(visible(shown(line)))
    if read.pages and st.session_state.get("blind"):
        st.caption("Blind mode shows no picture of the page.")
    elif read.pages:
        _picture(upload, called)


def _picture(upload: Upload, called: str) -> None:
    last = len(upload.read.pages)
    number = int(st.number_input("Page", 1, last, 1, key="picture")) if last > 1 else 1
    try:
        data = page_picture(upload.data, called, number, scale=SCALE)
    except InputError as fault:
        st.text(visible(str(fault)))
        return
    st.image(with_boxes(data, upload.read, number))
    st.caption("Blue: lines that were read. Red: hidden text.")


def with_boxes(picture: bytes, read: FileText, number: int) -> bytes:
    """The PNG picture of a page with a box around each line and each hidden text."""
    image = Image.open(BytesIO(picture)).convert("RGB")
    draw = ImageDraw.Draw(image)
    for colour, parts in ((LINE, read.lines), (HIDDEN, read.hidden)):
        for part in parts:
            if part.page == number and part.box is not None:
                draw.rectangle(_pixels(part.box), outline=colour, width=2)
    out = BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def _pixels(box: Box) -> tuple[float, float, float, float]:
    left, top, right, bottom = (SCALE * side for side in box)
    return min(left, right), min(top, bottom), max(left, right), max(top, bottom)
