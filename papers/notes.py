"""Read the pages of notes, which describe each method for the report."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from papers.evidence import EvidenceError


@dataclass(frozen=True)
class Note:
    """A page: its title, source and first paragraph, and the rows or the dataset it describes."""

    file: str
    title: str
    source: str
    paragraph: str
    rows: tuple[str, ...] = ()
    data: str = ""


def read_notes(folder: Path) -> list[Note]:
    """Read all pages except README.md, the report and its template, sorted by file name.

    A page consists of "# title", a line "Rows: a; b" or "Data: name" if it describes rows or data,
    a line "Source: …", an empty line, and paragraphs.
    Raises EvidenceError for a page of another form, and for a row that two pages describe.
    """
    notes = [
        _note(path)
        for path in sorted(folder.glob("*.md"))
        if path.name not in ("README.md", "report.md", "report.template.md")
    ]
    seen: dict[str, str] = {}
    for note in notes:
        for row in note.rows:
            if row in seen:
                raise EvidenceError(f"{folder / note.file}: {row} is also on {seen[row]}.")
            seen[row] = note.file
    return notes


def _note(path: Path) -> Note:
    first, *parts = path.read_text(encoding="utf-8").strip().split("\n\n")
    lines = first.splitlines()
    about = dict(line.split(": ", 1) for line in _unwrapped(lines[1:]))
    if not lines[0].startswith("# ") or "Source" not in about or not parts:
        form = "'# Title', 'Source: …', an empty line and a paragraph"
        raise EvidenceError(f"{path}: a page must begin with {form}.")
    rows = tuple(row.strip() for row in about.get("Rows", "").split(";") if row.strip())
    return Note(
        path.name, lines[0][2:], about["Source"], " ".join(parts[0].split()), rows,
        about.get("Data", ""),
    )  # fmt: skip


def _unwrapped(lines: list[str]) -> list[str]:
    """Join a line that does not begin with a key to the previous line."""
    joined: list[str] = []
    for line in lines:
        if line.startswith(("Rows: ", "Data: ", "Source: ")) or not joined:
            joined.append(line)
        else:
            joined[-1] += f" {line.strip()}"
    return joined
