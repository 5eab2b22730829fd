"""Texts of documents are shown as characters, and are never markup, links or formulas. Ours.

Streamlit reads Markdown in labels and messages, so a text of a document is shown in three ways
only: by `st.text`, in a cell of `st.dataframe`, or escaped by `html_of` in `st.html`.
"""

from __future__ import annotations

import html
import re
import unicodedata
from pathlib import PureWindowsPath

_UNSEEN = ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")
"""Categories of characters that a reader does not see, or that move others: controls, directions,
characters without width, tag characters."""
_JOINERS = "\u200c\u200d"
"""Needed to write Persian and Indian languages; without effect elsewhere."""
_FORMULA = re.compile(r"[\s\u200b\ufeff]*[=+\-@\uff1d\uff0b\uff0d\uff20|%]|[\t\r\n]")
"""How a cell begins that a spreadsheet may calculate."""
LONGEST_NAME = 80


def visible(text: str) -> str:
    """The text with each character that is not seen, or changes the direction, as its number.

    >>> visible("Ada\\u202etxt.exe")
    'Ada‹U+202E›txt.exe'
    """
    return "".join(
        f"‹U+{ord(c):04X}›"
        if unicodedata.category(c) in _UNSEEN and c not in "\n\t" and c not in _JOINERS
        else c
        for c in text.replace("\r\n", "\n")
    )


def html_of(text: str) -> str:
    """The text for `st.html`: `visible`, and no character of it is markup.

    >>> html_of("<img src=x onerror=alert(1)>")
    '&lt;img src=x onerror=alert(1)&gt;'
    """
    return html.escape(visible(text), quote=True)


def csv_cell(text: str) -> str:
    """The text for a cell of a CSV file: one that a spreadsheet may calculate begins with `'`.

    >>> csv_cell("=cmd|' /C calc'!A0"), csv_cell("Ada")
    ("'=cmd|' /C calc'!A0", 'Ada')
    """
    shown = visible(text)
    return f"'{shown}" if _FORMULA.match(text) else shown


def id_of(file_name: str, taken: set[str] | frozenset[str] = frozenset()) -> str:
    """The id of an uploaded file: one word of letters, digits and `._-`, without folders.

    file_name: as the browser gives it, which may be anything
    taken:     ids of other files; a number is added to an id that is one of them

    >>> id_of("../../etc/Ada Byron.pdf"), id_of("a.pdf", {"a"}), id_of("\\u202e=cmd")
    ('Ada-Byron', 'a-2', 'cmd')
    """
    name = PureWindowsPath(unicodedata.normalize("NFC", file_name)).name  # knows both / and \
    stem = re.sub(r"\.(txt|pdf|docx|rtf|html?)$", "", name, flags=re.IGNORECASE)
    word = re.sub(r"[^\w.]+", "-", stem).strip("-._")[:LONGEST_NAME] or "file"
    found, number = word, 1
    while found in taken:
        number += 1
        found = f"{word}-{number}"
    return found
