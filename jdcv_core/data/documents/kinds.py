"""What a file is, by its first bytes and not by its name. Ours."""

from __future__ import annotations

import re
from importlib.util import find_spec

EXTRA = "install the extra: pip install 'jdcv[documents]'"
READABLE = {"PDF": "pypdfium2", "Word": "docx2python", "RTF": "striprtf", "HTML": "lxml"}
"""Kinds that are read besides plain text, and the library of the extra `documents` that does it."""
SUFFIXES = (".txt", ".pdf", ".docx", ".rtf", ".html", ".htm")
"""Ends of file names that are no part of a document's id."""

_EXPORT = "save it as text (.txt)"
_IMAGE = "recognise its text (OCR), and save that as text (.txt)"
_UNPACK = "unpack it"
_KINDS = (
    (rb".{0,1023}?%PDF-\d", "a PDF", _EXPORT),
    (rb"\s*\{\s*\\rtf", "RTF", _EXPORT),
    (rb"PK\x03\x04.*word/document\.xml", "a Word document (DOCX)", _EXPORT),
    (rb"PK\x03\x04.*opendocument\.text", "an OpenDocument text (ODT)", _EXPORT),
    (rb"PK(\x03\x04|\x05\x06|\x07\x08)", "a packed file (ZIP, DOCX or another)", _EXPORT),
    (rb"\xd0\xcf\x11\xe0|\xffWPC|\xdb\xa5-\0", "an Office document (DOC or another)", _EXPORT),
    (rb"(?i:\s*(<!--.*?-->\s*)?<(!doctype\s+html|html|head|body)\b)", "HTML", _EXPORT),
    (rb"\s*<(\?xml|svg)\b", "XML", _EXPORT),
    (rb"%!PS", "PostScript", _EXPORT),
    (rb"\s*(%[^\n]*\n\s*)*\\documentclass", "LaTeX", "compile it, and " + _EXPORT),
    (rb"(?i:(From|Date|MIME-Version|Subject|Message-ID): [^\n]*\r?\n([\w-]+:|\s)[^\n]*\r?\n)"
     rb"(?i:([\w-]+:|[ \t])[^\n]*\r?\n)*(?i:MIME-Version|Content-Type): ",
     "a saved e-mail or web archive", _EXPORT),
    (rb"\x89PNG|\xff\xd8\xff|GIF8[79]a|II\*\0|MM\0\*|BM.{4}\0\0\0\0|RIFF.{4}WEBP|.{4}ftyp",
     "an image", _IMAGE),
    (rb"\x1f\x8b|BZh\d|\xfd7zXZ|7z\xbc\xaf|Rar!\x1a|\x28\xb5\x2f\xfd|.{257}ustar",
     "a packed file", _UNPACK),
    (rb"SQLite format 3\0|\x7fELF|MZ[^\0]{0,64}\0|bplist00", "a program or its data",
     "move it away"),
)  # fmt: skip
KINDS = tuple(
    (re.compile(b"(?:\xef\xbb\xbf)?(?:" + pattern + b")", re.DOTALL), kind, cure)
    for pattern, kind, cure in _KINDS
)
"""How files begin that are no text, what they are, and what their owner can do."""
_NAMED = {"a PDF": "PDF", "a Word document (DOCX)": "Word", "RTF": "RTF", "HTML": "HTML"}


def kind_of(data: bytes) -> str:
    """The kind of a file: one of READABLE, "text", or what `other_kind` refuses.

    >>> kind_of(b"%PDF-1.7"), kind_of(b"Ada"), kind_of(b"GIF89a")
    ('PDF', 'text', 'an image')
    """
    for pattern, kind, _ in KINDS:
        if pattern.match(data):
            return _NAMED.get(kind, kind)
    return "text"


def other_kind(data: bytes) -> tuple[str, str] | None:
    """What is wrong with a file that is neither text nor of a kind in READABLE, and the cure.

    >>> other_kind(b"GIF89a")[0], other_kind(b"Ada")
    ('it is an image, not text', None)
    """
    for pattern, kind, cure in KINDS:
        if pattern.match(data):
            return None if kind in _NAMED else (f"it is {kind}, not text", cure)
    return None


def missing_library(kind: str) -> tuple[str, str] | None:
    """What is wrong where the library for a kind of READABLE is not installed, and the cure."""
    if find_spec(READABLE[kind]) is not None:
        return None
    what = f"it is {kind}, which is read with the extra documents"
    return what, f"{EXTRA}; or {_EXPORT}"
