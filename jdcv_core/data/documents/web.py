"""An HTML file → its lines, without what a browser does not show. Ours.

By lxml (BSD-3-Clause, release 6.1 of 2026). Nothing is fetched, no script runs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from lxml import etree, html

from jdcv_core.data.decoding import MARKS, encoding_of
from jdcv_core.data.documents.assembly import assemble
from jdcv_core.data.documents.file_text import FileText, HiddenMode, Limits, Piece, RawLine
from jdcv_core.data.documents.refused import Refused, check_length
from jdcv_core.data.documents.trees import check_nesting

UNSEEN = {"head", "script", "style", "template", "noscript", "svg", "math", "iframe", "object"}
INLINE = {
    "a", "abbr", "b", "bdi", "bdo", "big", "cite", "code", "data", "dfn", "em", "font", "i", "ins",
    "kbd", "label", "mark", "q", "s", "samp", "small", "span", "strong", "sub", "sup", "time", "tt",
    "u", "var", "wbr", "img", "input", "button", "o:p",
}  # fmt: skip
SIZE = re.compile(r"font-size:(\d*\.?\d+)(px|pt|em|rem|%)?(?:;|$)")
FAR = re.compile(r"(?:left|top|text-indent|margin-left):-\d{4,}")
RULE = re.compile(r"([^{}]+)\{([^{}]*)\}")
POINTS = {"px": 0.75, "pt": 1.0, "em": 12.0, "rem": 12.0, "%": 0.12, None: 0.75}
WHITE = r"(?:#fff(?:fff)?|white|rgb\(255,255,255\))"


def read_web(data: bytes, hidden: HiddenMode, limits: Limits) -> FileText:
    """The text of an HTML file. Raises Refused for a file that is nested too deeply or has none."""
    try:
        root = html.document_fromstring(decoded(data))
    except (etree.LxmlError, ValueError, AssertionError) as error:
        raise Refused("it is HTML without text", "save it as text (.txt)") from error
    check_nesting(root, limits.nesting)
    check_length(sum(map(len, root.itertext())), limits.characters)
    read = assemble("HTML", list(_lines(root, _rules(root))), hidden)
    if not read.text.strip():
        what = "all its text is hidden" if read.hidden else "it has no text"
        raise Refused(what, "open it in a browser, and save what you see as text (.txt)")
    return read


def decoded(data: bytes) -> str:
    """The text in the encoding of its byte order mark, else UTF-8, else the one that it names, else
    Windows-1252, as browsers do."""
    named = re.search(rb"charset=[\"']?([\w-]+)", data[:2048])
    marked = any(data.startswith(mark) for mark in MARKS)
    for encoding in (encoding_of(data[:4]), *([] if marked or not named else [named[1].decode()])):
        try:
            return data.decode(encoding).lstrip("\ufeff").replace("\0", "")
        except (UnicodeDecodeError, LookupError):
            continue
    return data.decode("cp1252", "replace").replace("\0", "")


def _rules(root: etree._Element) -> dict[str, str]:
    """Simple selectors (`p`, `.name`, `#name`) of the file's style sheets → their declarations."""
    rules: dict[str, str] = {}
    for sheet in root.iter("style"):
        for selectors, declarations in RULE.findall(sheet.text or ""):
            for selector in selectors.split(","):
                key = selector.strip()
                rules[key] = rules.get(key, "") + ";" + _tight(declarations)
    return rules


def _tight(style: str) -> str:
    return re.sub(r"\s+", "", style.lower().replace("!important", ""))


def _lines(root: etree._Element, rules: dict[str, str]) -> Iterator[RawLine]:
    """The lines: a block begins a new one, and so does `<br>`; cells are separated by tabs."""
    pieces: list[Piece] = []
    for text, way in _texts(root, rules):
        for at, part in enumerate(text.split("\n")):
            if at and pieces:
                yield RawLine(tuple(_trimmed(pieces)))
                pieces = []
            if part:
                pieces.append(Piece(part, way))
    yield RawLine(tuple(_trimmed(pieces)))


def _trimmed(pieces: list[Piece]) -> Iterator[Piece]:
    last = " "
    for piece in pieces:
        text = piece.text.lstrip() if last.isspace() else piece.text
        if text:
            last = text[-1]
            yield Piece(text, piece.way)


def _texts(root: etree._Element, rules: dict[str, str]) -> Iterator[tuple[str, str]]:
    """The texts in order, each with the way in which it is hidden; "\\n" between lines."""
    todo: list[tuple[etree._Element | str, str]] = [(root, "")]
    while todo:
        here, way = todo.pop()
        if isinstance(here, str):
            yield here, way
            continue
        after = [(_flat(here.tail), way)] if here.tail and here is not root else []
        name = here.tag if isinstance(here.tag, str) else ""
        if not name or name in UNSEEN:
            todo += after
            continue
        way = way or _way(here, name, rules)
        ends = "\n" if name == "br" or name not in INLINE else ""
        if name in ("td", "th"):
            ends = "\t" if here.getnext() is not None else ""
        starts = "" if name in ("br", "td", "th") else ends
        text = here.text or ""
        inside = [(starts, ""), (text if name == "pre" else _flat(text), way)]
        todo += [*after, (ends, ""), *((child, way) for child in reversed(here)), *inside[::-1]]


def _flat(text: str) -> str:
    return re.sub(r"[ \t\r\n\f]+", " ", text)


def _way(element: etree._Element, name: str, rules: dict[str, str]) -> str:
    """The way in which an element is hidden by its style, the sheet's, or `hidden`."""
    if element.get("hidden") is not None:
        return "marked hidden"
    selectors = [
        name,
        *(f".{c}" for c in element.get("class", "").split()),
        f"#{element.get('id')}",
    ]
    own = _tight(element.get("style", ""))
    style = ";".join([*(rules[s] for s in selectors if s in rules), own])
    if not style:
        return ""
    if re.search(r"display:none|visibility:(hidden|collapse)", style):
        return "marked hidden"
    size = SIZE.search(style)
    if size and float(size[1]) * POINTS[size[2]] < 2:
        return "tiny"
    if FAR.search(style):
        return "off the page"
    if re.search(r"opacity:0?\.?0*(;|$)", style) or "color:transparent" in style:
        return "not drawn"
    if re.search(rf"(^|;)color:{WHITE}", style) and not _has_background(element, rules):
        return "background colour"
    return ""


def _has_background(element: etree._Element, rules: dict[str, str]) -> bool:
    """Whether it or an element around it has a background that may not be white."""
    for here in (element, *element.iterancestors()):
        keys = [str(here.tag), *(f".{c}" for c in here.get("class", "").split())]
        style = ";".join([*(rules.get(key, "") for key in keys), _tight(here.get("style", ""))])
        found = re.search(r"background(-color|-image)?:([^;]+)", style)
        if (found and not re.fullmatch(WHITE, found[2])) or here.get("bgcolor"):
            return True
    return False
