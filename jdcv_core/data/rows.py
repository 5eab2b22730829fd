"""Validates the rows of a source and reports the first problem. Ours."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import PurePath
from typing import Any

from jdcv_core.data.labels import LabelReading, label_key, unknown_label
from jdcv_core.data.normalise import Row
from jdcv_core.data.tables import Record, bad_byte
from jdcv_core.errors import InputError, nearest

Fault = tuple[str, str, str]
"""Its kind (faults of one kind are counted together), what is wrong, and the cure."""


def check_rows(
    file: str,
    records: Iterable[Record],
    columns: Mapping[str, str],
    labels: LabelReading,
    max_characters: int,
    fold: str = "",
) -> list[Row]:
    """The records as rows, if all of them are sound.

    file:           for messages, as the user gave it
    records:        place and the values (CV, JD, label)
    columns:        the source's names of `cv`, `jd`, `label`, for messages
    labels:         from `read_labels`
    max_characters: the longest text that is taken, in characters
    fold:           of all these rows

    Raises InputError for the first unsound row; it says how many more rows have that fault.
    """
    rows: list[Row] = []
    faults: dict[str, list[tuple[str, Fault]]] = {}
    for place, (cv, jd, label) in records:
        index = labels.known.get(label_key(label))
        fault = (
            text_fault(columns["cv"], cv, max_characters)
            or text_fault(columns["jd"], jd, max_characters)
            or (_label_fault(columns["label"], label, labels) if index is None else None)
        )
        if fault:
            faults.setdefault(fault[0], []).append((place, fault))
        elif index is not None and not faults:  # after a fault only faults are counted
            origin = f"{PurePath(file).name}, {place}"
            rows.append(Row(cv=cv, jd=jd, label=index, fold=fold, origin=origin))
    if faults:
        first, *others = next(iter(faults.values()))
        place, (_, what, cure) = first
        more = f" (and in {len(others)} more rows)" if others else ""
        raise InputError(f"{file}, {place}", what + more, cure)
    return rows


def text_fault(column: str, text: Any, max_characters: int) -> Fault | None:
    """What is wrong with a document's text, if anything: empty, no text, binary, too long."""
    if text is None or (isinstance(text, str) and not text.strip()):
        return f"{column} empty", f"{column} is empty", "give its text or remove the row"
    if not isinstance(text, str):
        what = f"{column} is a {type(text).__name__}, not text"
        return f"{column} type", what, "give its text"
    if "\0" in text:
        what = f"{column} is binary (it has a NUL character)"
        return f"{column} binary", what, "extract its text first, and save it as UTF-8"
    if bad := bad_byte(text):
        what = f"{column} is not valid UTF-8: {bad}"
        cure = "save the file as UTF-8, for example by iconv -f WINDOWS-1252 -t UTF-8"
        return f"{column} encoding", what, cure
    if len(text) > max_characters:
        what = f"{column} has {len(text):,} characters, more than {max_characters:,}"
        return f"{column} length", what, "shorten it or raise max_characters"
    return None


def hint(word: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown word: the known ones, or the 8 closest of them."""
    names = sorted(known)
    if len(names) <= 8:
        return nearest(word, names)
    close = get_close_matches(word, names, n=8, cutoff=0.0)
    return f"the closest of {len(names)} are {', '.join(close)}"


def _label_fault(column: str, label: Any, labels: LabelReading) -> Fault:
    shown, cure = unknown_label(labels, label)
    return f"{column} unknown", f"{column} is {shown}", cure
