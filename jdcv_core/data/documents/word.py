"""A Word document (DOCX) → its lines: headers, text, tables, text boxes, footers, notes. Ours.

By docx2python (MIT, release 3.7 of 2026). Before it reads the file, a copy in memory is made of the
parts with text: without pictures, deleted text and links, and with marks around hidden text.
"""

from __future__ import annotations

import io
import re
import zipfile
import zlib
from collections.abc import Iterator, Sequence

from docx2python import docx2python
from docx2python.docx_output import DocxContent
from lxml import etree

from jdcv_core.data.documents.assembly import assemble
from jdcv_core.data.documents.file_text import (
    WAYS,
    FileText,
    HiddenMode,
    Limits,
    Piece,
    RawLine,
)
from jdcv_core.data.documents.refused import Refused, check_length
from jdcv_core.data.documents.trees import check_nesting, parsed
from jdcv_core.data.documents.word_styles import Styles, W, is_white, way

UNPACKED = 10
"""Times Limits.megabytes that a packed file may unpack to."""
READ = re.compile(r"(?i)^(\[Content_Types\]\.xml|_rels/.*|word/[^/]*\.xml|word/_rels/.*)$")
"""Parts that are read; pictures, fonts and embedded files are not."""
TEXT = re.compile(r"(?i)^word/(document|header|footer|footnotes|endnotes)\d*\.xml$")
MARK = "\ufdd0"
"""Around hidden text, with the index of its way: a code that no text uses."""
LEFT_OUT = {
    f"{W}{tag}" for tag in (
        "del", "moveFrom", "footnoteReference", "endnoteReference", "commentReference",
        "commentRangeStart", "commentRangeEnd", "annotationRef", "instrText", "delText",
    )
}  # fmt: skip
PICTURES = ("blip", "imagedata", "cNvPr", "docPr")
"""Elements that docx2python takes for a picture or for its description."""


_BROKEN = (
    zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, zlib.error, etree.LxmlError,
    EOFError, OSError, ValueError, KeyError, IndexError, TypeError, AttributeError,
)  # fmt: skip
"""What a damaged file makes zipfile, lxml and docx2python raise."""


def read_word(data: bytes, hidden: HiddenMode, limits: Limits) -> FileText:
    """The text of a DOCX file: headers, then the body, footers, footnotes and endnotes.

    The cells of a table's row are separated by tabs, if each is one line. Raises Refused for a file
    that is encrypted, damaged, too large or without text.
    """
    parts = _unpack(data, limits)
    doubts = 0
    try:
        styles = Styles.of(parts.get("word/styles.xml"))
        with io.BytesIO() as copy:
            with zipfile.ZipFile(copy, "w") as packed:
                for name, content in parts.items():
                    if TEXT.match(name):
                        content, doubt = _prepared(content, styles, limits)
                        doubts += doubt
                    packed.writestr(name, content)
            with docx2python(copy, duplicate_merged_cells=False) as found:
                lines = list(_lines(found))
    except _BROKEN as error:
        what = f"it is a damaged Word document ({type(error).__name__})"
        raise Refused(what, "save it again, or as text (.txt)") from error
    notes = [f"{doubts} characters are white and may be on a dark shape: they are kept"]
    read = assemble("Word", lines, hidden, notes=notes if doubts else ())
    if not read.text.strip():
        what = "all its text is hidden" if read.hidden else "it has no text"
        raise Refused(what, "open it in Word, and save what you see as text (.txt)")
    return read


def _unpack(data: bytes, limits: Limits) -> dict[str, bytes]:
    """The parts that are read. What a file says about its sizes may be false."""
    most = UNPACKED * limits.megabytes * 1_000_000
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as packed:
            parts: dict[str, bytes] = {}
            wanted = [one for one in packed.infolist() if READ.match(one.filename)]
            if len(packed.infolist()) > 5000 or sum(one.file_size for one in wanted) > most:
                raise Refused("it unpacks to too much (a zip bomb?)", "save it as text (.txt)")
            for one in wanted:
                if one.flag_bits & 1:
                    raise Refused("it is encrypted", "save a copy without the password")
                with packed.open(one) as file:
                    parts[one.filename] = file.read(most + 1)
                most -= len(parts[one.filename])
                if most < 0:
                    raise Refused("it unpacks to too much (a zip bomb?)", "save it as text (.txt)")
    except _BROKEN as error:
        raise Refused("it is a damaged Word document", "get a whole copy") from error
    if "word/document.xml" not in parts:
        raise Refused("it is a packed file without a document", "unpack it")
    return parts


def _prepared(content: bytes, styles: Styles, limits: Limits) -> tuple[bytes, int]:
    """A part as docx2python is to read it, and the number of white characters in doubt.

    Hidden text is put between marks; the paragraphs of a text box follow the one that holds it.
    """
    root = parsed(content)
    check_nesting(root, limits.nesting)
    check_length(sum(map(len, root.itertext())), limits.characters)
    for element in list(root.iter(etree.Element)):
        name = etree.QName(element).localname
        if element.tag in LEFT_OUT or (name == "Fallback" and _has_choice(element)):
            _remove(element)
        elif name in PICTURES:
            element.attrib.clear()
        elif element.tag == f"{W}hyperlink":
            element.tag = f"{W}smartTag"
        elif element.tag == f"{W}sym":
            _spell(element)
        elif name == "oMath":
            _plain(element)
    shapes = root.find(".//{*}anchor") is not None or root.find(".//{*}shape") is not None
    doubts = 0
    for run in list(root.iter(f"{W}r")):
        doubts += _marked(run, styles, shapes)
    for box in list(root.iter(f"{W}txbxContent")):
        _unboxed(box)
    return etree.tostring(root, encoding="utf-8", xml_declaration=True), doubts


def _has_choice(fallback: etree._Element) -> bool:
    parent = fallback.getparent()
    return parent is not None and parent.find("{*}Choice") is not None


def _remove(element: etree._Element) -> None:
    parent = element.getparent()
    if parent is not None:
        parent.remove(element)


def _spell(symbol: etree._Element) -> None:
    """A character of a symbol font as text; one that has no letter is repaired with all others."""
    code = symbol.get(f"{W}char", "")
    symbol.tag = f"{W}t"
    symbol.text = chr(int(code, 16)) if re.fullmatch("[0-9A-Fa-f]{2,4}", code) else ""


def _plain(formula: etree._Element) -> None:
    """A formula as a run of its letters."""
    text = "".join(formula.itertext())
    after = formula.tail
    formula.clear()
    formula.tag, formula.tail = f"{W}r", after
    etree.SubElement(formula, f"{W}t").text = text


def _marked(run: etree._Element, styles: Styles, shapes: bool) -> int:
    """Put marks around the text of a run if it is hidden; returns its length if it is in doubt.

    shapes: whether the part has shapes, one of which may be behind the text
    """
    texts = [t for t in run.findall(f"{W}t") if t.text]
    for text in texts:
        text.text = text.text.replace(MARK, "")
    if not any(t.text.strip() for t in texts):
        return 0
    look = styles.look_of(run)
    inside = next(run.iterancestors(f"{W}tbl", f"{W}txbxContent"), None) is not None
    hidden = way(look, on_white=not (shapes or inside))
    if hidden:
        for text in texts:
            text.text = f"{MARK}{list(WAYS).index(hidden)}{MARK}{text.text}{MARK}"
        return 0
    doubted = is_white(look) and look.get("fill", "auto") == "auto"
    return sum(len(t.text.strip()) for t in texts) if doubted else 0


def _unboxed(box: etree._Element) -> None:
    """Move what is in a text box behind the paragraph that holds the box."""
    holder = next(box.iterancestors(f"{W}p"), None)
    if holder is None:
        return
    for block in reversed(list(box)):
        holder.addnext(block)
    _remove(box)


def _lines(found: DocxContent) -> Iterator[RawLine]:
    """The lines of all parts. A header or footer that several pages share is read once."""
    for name in ("header", "body", "footer", "footnotes", "endnotes"):
        seen: set[str] = set()
        for row in (row for table in getattr(found, name) for row in table):
            for text in _texts(row):
                if name == "body" or text not in seen:
                    yield RawLine(tuple(_pieces(text)))
                seen.add(text)


def _texts(row: Sequence[Sequence[str]]) -> Iterator[str]:
    """The lines of a row: one, if each cell is one line, else those of cell after cell."""
    cells = [[line.rstrip() for text in cell for line in text.split("\n")] for cell in row]
    cells = [[line for line in cell if line.strip()] for cell in cells]
    if len(row) > 1 and all(len(cell) <= 1 for cell in cells):
        cells = [["\t".join(line.strip() for cell in cells for line in cell)]]
    for cell in cells:
        yield from (re.sub(r"^\t*--\t", "• ", line) for line in cell)


def _pieces(text: str) -> Iterator[Piece]:
    """The pieces of a line, of which hidden ones are between marks."""
    parts = text.split(MARK)
    for at, part in enumerate(parts):
        kind = at % 3  # seen, index of the way, hidden
        if part and kind != 1:
            yield Piece(part, list(WAYS)[int(parts[at - 1])] if kind == 2 else "")
