"""The files that commands read and write, and messages on the terminal."""

from __future__ import annotations

import csv
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jdcv_core.atomic import atomic_file
from jdcv_core.data.documents.file_text import FileText, HiddenMode
from jdcv_core.data.documents.reading import read_all, read_file
from jdcv_core.data.rows import hint, text_fault
from jdcv_core.data.tables import LARGEST_FIELD, read_table, text_lines
from jdcv_core.data.text_folder import read_folder, spelled
from jdcv_core.errors import SHOWN, InputError
from jdcv_core.progress import console

Rows = list[tuple[str, tuple[Any, ...]]]
"""For each row its place in the file and the values of all columns."""


def add_hidden(add: Any) -> None:
    """Add the option `--hidden` to a command that reads files."""
    text = "text of a file that a reader does not see is left out (drop), or read (keep)"
    add("--hidden", choices=("drop", "keep"), default="drop", help=f"{text}; default: %(default)s")


def read_text(path: Path, hidden: HiddenMode = "drop") -> str:
    """The text of a file of any kind that `read_file` reads; hidden text is reported.

    Raises InputError that names the file if it cannot be read.
    """
    found = read_file(spelled(path), hidden=hidden)
    say_hidden({str(path): found}, hidden)
    return found.text


def read_folder_of_texts(folder: Path, hidden: HiddenMode) -> dict[str, str]:
    """The texts of a folder by id, see `read_folder`; hidden text is reported."""
    files = read_folder(folder, hidden=hidden)
    say_hidden(files, hidden)
    return {name: file.text for name, file in files.items()}


def say_hidden(files: Mapping[str, FileText], hidden: HiddenMode) -> None:
    """Say which files have hidden text, how it is hidden, and how it begins. files: by name"""
    found = {name: file for name, file in files.items() if file.hidden}
    done = "left out" if hidden == "drop" else "kept"
    for name, file in list(found.items())[:SHOWN]:
        ways = ", ".join(f"{count} characters {way}" for way, count in file.ways.items())
        begins = " ".join(file.hidden[0].text.split())[:60]
        say(f"{name}: hidden text is {done} ({ways}): {begins!r}", "yellow")
    if len(found) > SHOWN:
        say(f"and {len(found) - SHOWN} more files with hidden text", "yellow")


def read_pairs(path: Path, names: tuple[str, str], added: Sequence[str]) -> tuple[list[str], Rows]:
    """The header and all rows of a CSV file, every text of a pair checked.

    names: the columns of CV and JD
    added: the columns to be added, which the file must not have
    """
    header = read_header(path)
    for name, option in zip(names, ("--cv-column", "--jd-column"), strict=True):
        if name not in header:
            cure = f"give {option}=NAME; {hint(name[:40], [h[:40] for h in header])}"
            raise InputError(str(path), f"there is no column {name!r}", cure)
    for name, option in zip(added, ("--score-column", "--label-column"), strict=True):
        if name in header:
            what = f"it has a column {name!r} already"
            raise InputError(str(path), what, f"give {option}=NAME for the new one")
    rows = list(read_table(path, header))
    if not rows:
        raise InputError(str(path), "there is no row below the header", "give pairs of texts")
    for place, values in rows:
        for name in names:
            if fault := text_fault(name, values[header.index(name)], sys.maxsize):
                raise InputError(f"{path}, {place}", fault[1], fault[2])
    return header, rows


def read_files_of(
    table: Path, columns: Mapping[str, Sequence[str]], places: Sequence[str], hidden: HiddenMode
) -> dict[str, list[str]]:
    """Columns of paths, relative to the folder of their CSV file, as the texts of these files.

    columns: name → a path for each row; places: of the rows, for messages

    Each file is read once. Raises one InputError for all that cannot be read, with their rows.
    """
    paths = {
        name: [spelled(table.parent / value.strip()) for value in values]
        for name, values in columns.items()
    }
    first = {
        path: place
        for own in paths.values()
        for path, place in reversed(list(zip(own, places, strict=True)))
    }
    named = {path: f"{place}, {path}" for path, place in first.items()}
    known = read_all(named, str(table), hidden=hidden)
    say_hidden({str(path): found for path, found in known.items()}, hidden)
    return {name: [known[path].text for path in own] for name, own in paths.items()}


def read_header(path: Path) -> list[str]:
    """The column names of a CSV file: its first line that is not empty."""
    if path.suffix.lower() != ".csv":
        raise InputError(str(path), "it is not called .csv", "give a CSV file with a header")
    csv.field_size_limit(LARGEST_FIELD)
    try:
        return next((fields for fields in csv.reader(text_lines(path, newline="")) if fields), [])
    except OSError as error:
        raise InputError(str(path), f"{error.strerror}", "check the path") from error
    except csv.Error as error:
        raise InputError(
            str(path), f"its header is broken ({error})", "check its quotes"
        ) from error


def check_out(path: Path, force: bool) -> None:
    """Refuse an output file that cannot or must not be written, before any work is done."""
    if path.exists() and not path.is_file():
        raise InputError(str(path), "it is not a file", "give the name of a new CSV file")
    if path.exists() and not force:
        raise InputError(str(path), "it is there already", "give another name, or --force")
    if not path.absolute().parent.is_dir():
        raise InputError(str(path), "its folder is not there", "make the folder first")
    if not os.access(path.absolute().parent, os.W_OK):
        raise InputError(str(path), "its folder is read-only", "choose another folder")


def write_csv(path: Path, header: Sequence[str], rows: Any, force: bool) -> None:
    """Write a CSV file, the whole of it or nothing."""
    try:
        # surrogateescape: bytes of other columns that are not UTF-8 are written as they were read.
        with atomic_file(path, errors="surrogateescape") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(header)
            writer.writerows(rows)
            check_out(path, force)  # again, because another process may have written the file
    except OSError as error:
        raise InputError(str(path), f"{error.strerror}", "free space, or choose another") from error


def counted(number: int, one: str, many: str = "") -> str:
    """A number and a noun.

    >>> counted(1, "document"), counted(2, "query", "queries")
    ('1 document', '2 queries')
    """
    return f"{number} {one if number == 1 else many or one + 's'}"


def say(text: str, style: str = "") -> None:
    """Print a message on the terminal (standard error), as it is and on one line."""
    console.print(text, style=style, soft_wrap=True, markup=False, highlight=False)
