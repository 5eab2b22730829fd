"""What is read from a file: its text, where each line of it is, and what is hidden in it. Ours."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

Box = tuple[float, float, float, float]
"""Left, top, right and bottom in points (1/72 inch) from the top left corner of the page."""

HiddenMode = Literal["drop", "keep"]
"""What happens to hidden text: it is left out of the text, or kept in it. It is reported always."""

WAYS = {
    "background colour": "text in the colour of what is behind it",
    "tiny": "text of less than 2 points",
    "off the page": "text outside the page",
    "covered": "text behind a picture, an area or other text, or cut off",
    "not drawn": "text that the file says is not to be drawn, or is transparent",
    "zero-width": "a series of characters without width, which can spell a message",
    "tag characters": "characters of the Unicode block Tags, which no one sees",
    "marked hidden": "text marked as hidden (w:vanish in Word, \\v in RTF, display:none in HTML)",
}
"""The ways to hide text that are found, and what each is."""


@dataclass(frozen=True)
class Limits:
    """What a file may need; a file that needs more is refused.

    megabytes:       of the file, and of what a packed file (DOCX) unpacks to, ten times that
    pages:           of a PDF
    characters:      of the text
    nesting:         levels of tables, groups and elements within each other
    megapixels:      of all pictures of a PDF
    seconds:         processor time of the first page (or the whole of another file)
    seconds_a_page:  processor time of each further page
    memory:          megabytes of the child process that reads the file
    """

    megabytes: int = 20
    pages: int = 50
    characters: int = 1_000_000
    nesting: int = 100
    megapixels: int = 200
    seconds: float = 1.0
    seconds_a_page: float = 0.25
    memory: int = 1_000


@dataclass(frozen=True)
class Page:
    """A page of a PDF. number: from 1; width, height: points; columns: side by side, 0 without
    text; characters: those that can be seen, without white space"""

    number: int
    width: float
    height: float
    columns: int
    characters: int


@dataclass(frozen=True)
class Line:
    """A line as it is on the page. start, end: its part of the text; page: from 1, or 0 where the
    file has no pages; box: None where the file has no places"""

    start: int
    end: int
    page: int = 0
    box: Box | None = None


@dataclass(frozen=True)
class Hidden:
    """Text that a reader of the page does not see. way: one of WAYS; page, box: as of `Line`;
    at: where in the text it would begin (`drop`) or begins (`keep`)"""

    text: str
    way: str
    at: int
    page: int = 0
    box: Box | None = None


@dataclass(frozen=True)
class FileText:
    """The text of a file and the report on it.

    kind:   "PDF", "Word", "RTF", "HTML" or "text"
    text:   what a person sees, in reading order; line ends are those of the document's lines and
            not of the page's
    pages:  of a PDF; () for other kinds, whose pages depend on the program that shows them
    lines:  in the order of the text, one for each line on the page; () for plain text
    hidden: all hidden text, which `text` has only if it was read with hidden="keep"
    notes:  what a person should know: a page without text, repeated lines that are left out, …
    """

    kind: str
    text: str
    pages: tuple[Page, ...] = ()
    lines: tuple[Line, ...] = ()
    hidden: tuple[Hidden, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def ways(self) -> dict[str, int]:
        """Way of hiding → number of hidden characters, without white space."""
        counts: Counter[str] = Counter()
        for part in self.hidden:
            counts[part.way] += len("".join(part.text.split()))
        return dict(counts)

    def as_dict(self) -> dict[str, Any]:
        """All of it as numbers, texts, lists and dictionaries, as for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> FileText:
        """The inverse of `as_dict`, also after JSON.

        >>> one = FileText("PDF", "Ada", lines=(Line(0, 3, 1, (0.0, 1.0, 9.0, 12.0)),))
        >>> FileText.from_dict(one.as_dict()) == one
        True
        """

        def made(kind: Any, rows: Sequence[dict[str, Any]]) -> tuple:
            boxed = [{**r, "box": tuple(r["box"])} if r.get("box") else r for r in rows]
            return tuple(kind(**row) for row in boxed)

        return cls(
            str(fields["kind"]),
            str(fields["text"]),
            made(Page, fields["pages"]),
            made(Line, fields["lines"]),
            made(Hidden, fields["hidden"]),
            tuple(fields["notes"]),
        )


@dataclass(frozen=True)
class Piece:
    """A part of a line, before text is made of it. way: "" for text that can be seen"""

    text: str
    way: str = ""
    box: Box | None = None


@dataclass(frozen=True)
class RawLine:
    """A line as a format gives it. after: what separates it from the next line; at_edge: whether
    it is a header or a footer"""

    pieces: tuple[Piece, ...]
    page: int = 0
    box: Box | None = None
    after: str = "\n"
    at_edge: bool = False
