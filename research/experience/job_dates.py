"""Which dates of a CV are the times of its experiences. Ours."""

from __future__ import annotations

import re
from collections.abc import Sequence

from research.experience.connectors import EACH
from research.experience.date_range import DateRange
from research.experience.headings import Section

MOST_TRIED, MOST_EXPERIENCES = 1500, 500
"""Of one text, many times what a CV has, so that no text takes long: dates that are considered in
sections that may hold experiences, and experiences."""

STUDIES = re.compile(
    r"\b[BM]\.\s?(?:S|A|Sc)\.|\b[BM]Sc\b|"
    r"(?i:universit|college\b|school\b|bachelor|master(?:s|'s)? (?:of|in|degree)|"
    r"\bmba\b|\bph\.?\s?d|degree|diploma|graduat|\bgpa\b|\bb\.?tech|\bm\.?tech|"
    r"expected in|dissertation|thesis|licence|baccalaur|abitur|\bexpected\b|coursework|\bcgpa\b)"
)
_JOB = re.compile(
    r"(?i:\bintern\b|trainee|engineer\b|assistant|manager|teacher|tutor|analyst|developer|director|"
    r"consultant|taught|lawyer|officer|clerk|secretary|nurse|technician|supervisor|\blead\b|"
    r"postdoc|scientist|duration|worker|treasurer|working|investigator|coordinator|specialist|"
    r"instructor|lecturer|employ)(?![sS]\b)"
)
"""A title is one person's: an association of social workers is none."""
_HONOUR = re.compile(
    r"(?i:\bawards?\b(?![ -]winning)|\bhonou?rs\b|\bhonorary\b|"
    r"\bhonou?r (?:roll|society)\b|\bscholarship)"
)
"""What one is given, and not what one does."""
_GIVEN_AFTER = re.compile(
    r"\W{0,4}(?:[BM]\.\s?(?:S|A|Sc)\.|[BM]Sc\b|"
    r"(?i:bachelor|master(?:s|'s|’s)? (?:of|in)|dean['’]?s list))"
)
"""What a date is of if it follows at once: a degree or an honour."""
_NO_EXPERIENCE = re.compile(
    r"(?i:born|date of birth|birth|\bdob\b|©|copyright|\(c\)|expected in|expected|graduat\w*|"
    r"i\.\s?e\.|e\.\s?g\.|updated|last update|valid|expires?|issued|né le|nacid|"
    r"geboren|născut|class of)\W{0,3}$"
)


def experiences_among(
    text: str, ranges: Sequence[DateRange], sections: Sequence[Section]
) -> tuple[list[DateRange], int]:
    """The ranges that are the time of an experience; and up to which character they were tried."""
    chosen: list[DateRange] = []
    at = tried = 0
    for found in _without_columns(text, ranges):
        while at + 1 < len(sections) and sections[at + 1].start <= found.at:
            at += 1
        section = sections[at].kind
        if found.kind == "point" and section not in ("experience", "summary"):
            continue
        if tried == MOST_TRIED or len(chosen) == MOST_EXPERIENCES:
            return chosen, found.at
        tried += 1
        if _is_experience(text, found, section):
            chosen.append(found)
    return chosen, len(text)


_COLUMN = 10
"""Fewer characters than this between two dates, and no text belongs to either."""


def _without_columns(text: str, ranges: Sequence[DateRange]) -> list[DateRange]:
    """Without runs of three dates and more that have nothing between them: a column of a table,
    torn from its rows when the file was made into text; whose dates they are cannot be told."""
    runs: list[list[DateRange]] = []
    for found in ranges:
        between = text[runs[-1][-1].to : found.at] if runs else ""
        if runs and len(between) < _COLUMN and not any(c.isalpha() for c in between):
            runs[-1].append(found)
        else:
            runs.append([found])
    return [found for run in runs if len(run) < 3 for found in run]


def _is_experience(text: str, found: DateRange, section: str) -> bool:
    before, after = around(text, found.at, found.to)
    if is_something_else(before, after):
        return False
    line = line_around(before, after)
    needs_title = section in ("education", "other")
    if needs_title and not (_JOB.search(line) or _JOB.search(_near(before, after))):
        return False
    if section not in ("experience", "other") and STUDIES.search(line):
        return False
    if found.kind == "range":
        return True
    if found.kind == "since":
        return section == "experience" or stands_alone(before, after)
    if not stands_alone(EACH.sub("", before), after, comma=found.kind == "list"):
        return False
    if found.kind == "list" and needs_title:
        return True
    if _JOB.search(_near(before, after)):
        return True
    bracketed = (before[-1:], after[:1]) == ("(", ")")
    return section == "experience" and (found.kind == "list" or found.unit == "season" or bracketed)


def around(text: str, at: int, to: int) -> tuple[str, str]:
    """60 characters before a date and after it."""
    return text[max(0, at - 60) : at], text[to : to + 60]


def is_something_else(before: str, after: str) -> bool:
    """Whether the words around a date make it a birth, a degree, an honour and the like."""
    if _NO_EXPERIENCE.search(before[-24:]) or _GIVEN_AFTER.match(after):
        return True
    piece = _PIECE_END.split(before)[-1]
    return _HONOUR.search(piece) is not None and _JOB.search(piece) is None


_PIECE_END = re.compile(r"\s{2,}|\n|[.;•]\s")


def _near(before: str, after: str) -> str:
    """The last piece of text before a date and the first one after it."""
    first = _PIECE_END.split(after.strip(" \t\n:-–—"))[0]
    return _PIECE_END.split(before.strip())[-1] + "\n" + first


def line_around(before: str, after: str) -> str:
    """What stands on the same line, as far as lines can be told."""
    return re.split(r"\n|\s{3,}", before)[-1] + " " + re.split(r"\n|\s{3,}", after)[0]


def stands_alone(before: str, after: str, comma: bool = False) -> bool:
    """Whether a date stands in a header and not in a sentence: between breaks or in brackets.

    comma: whether a comma after it is a break, too
    """
    left = not before.strip() or before[-1] in "(\n|\t" or before[-2:] in ("  ", ", ", "- ", "– ")
    right = (
        not after.strip() or after[0] in ")\n|\t:" or after[:2] in ("  ", " -", " –", " —", " |")
    )
    return left and (right or (comma and after[0] in ",;"))
