"""`jdcv read`: what is read from files: pages, columns, hidden text, dates, and the text itself."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.cli.text_files import add_hidden, counted, say
from jdcv_core.data.documents.file_text import FileText
from jdcv_core.data.documents.reading import read_files
from jdcv_core.data.documents.refused import Refused
from jdcv_core.data.text_folder import document_files, spelled
from jdcv_core.errors import InputError, several
from jdcv_core.progress import progress

if TYPE_CHECKING:
    from research.experience.parsed_cv import ParsedCV

EXAMPLES = """\
examples
  the report on a CV: pages, columns, hidden text, dates that were read and that were not
    jdcv read cv.pdf
  the text as a model sees it
    jdcv read cv.pdf --text
  a folder, as JSON with the page and the box of each line
    jdcv read cvs/ --json
"""


def add_command(commands: Any) -> None:
    """Add `read` to the parser of `jdcv`."""
    read = commands.add_parser(
        "read",
        help="show what is read from files of CVs and JDs",
        description="Show what is read from files: text, PDF, DOCX, RTF or HTML.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    read.set_defaults(command=run_read)
    add = read.add_argument
    add("files", type=Path, nargs="+", metavar="FILE", help="files, or folders of files")
    add("--text", action="store_true", help="print the text instead of the report")
    add("--json", action="store_true", help="print all of it as JSON")
    add_hidden(add)


def run_read(arguments: argparse.Namespace) -> None:
    """`jdcv read`: read all files, print what was read, and then report those that cannot be."""
    if arguments.text and arguments.json:
        raise InputError("jdcv read", "--text and --json are both given", "give one of them")
    paths = [path for given in arguments.files for path in _files(spelled(given))]
    with progress("Reading files", len(paths), least=50) as advance:
        found = read_files(paths, hidden=arguments.hidden, advance=advance)
    read = {str(p): f for p, f in zip(paths, found, strict=True) if isinstance(f, FileText)}
    if arguments.json:
        content = {name: _as_json(file) for name, file in read.items()}
        print(json.dumps(content, indent=1, ensure_ascii=False))
    for name, file in read.items():
        if arguments.text:
            if len(paths) > 1:
                say(name, "bold")
            print(file.text)
        elif not arguments.json:
            print("\n".join(_report(name, file)))
    refused = zip(paths, found, strict=True)
    faults = [(str(p), f.what, f.cure) for p, f in refused if isinstance(f, Refused)]
    if faults:
        raise several("jdcv read", "{} files cannot be read", faults)


def _files(given: Path) -> list[Path]:
    return list(document_files(given).values()) if given.is_dir() else [given]


def _parsed(file: FileText) -> ParsedCV:
    from research.experience.parsing import parse_cv

    return parse_cv(file.text)


def _as_json(file: FileText) -> dict[str, Any]:
    parsed = _parsed(file)
    dates = {
        "read": [e.written for e in parsed.experiences],
        "unread": [asdict(unread) for unread in parsed.unread],
    }
    return {**file.as_dict(), "dates": dates}


def _report(name: str, file: FileText) -> list[str]:
    """The lines of the report on one file."""
    characters = f"{len(file.text):,} characters"
    pages = f", {counted(len(file.pages), 'page')}" if file.pages else ""
    lines = [f"{name}: {file.kind}{pages}, {characters}"]
    for page in file.pages:
        columns = counted(page.columns, "column")
        lines.append(f"  page {page.number}: {columns}, {page.characters:,} characters")
    for part in file.hidden:
        place = f", page {part.page}" if part.page else ""
        shown = " ".join(part.text.split())[:60]
        lines.append(f"  hidden text ({part.way}{place}): {shown!r}")
    parsed = _parsed(file)
    dates = ", ".join(e.written for e in parsed.experiences)
    lines.append(f"  dates of experiences read: {dates or 'none'}")
    lines += [f"  date not read: {unread}" for unread in parsed.unread]
    return [*lines, *(f"  {note}" for note in file.notes)]
