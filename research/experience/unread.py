"""What looks like a date of an experience and no experience uses: the net under the rules. Ours.

It looks in the sections of experiences, or in the whole text of a CV without such a heading. A year
in a sentence (`in 2015 we moved to Java`) belongs to the text of its experience; a range, a masked
year, a date in a language that is not read, and a date that stands alone in a header do not.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from research.experience.connectors import CONNECTOR, LISTED, LOST, NOT_A_YEAR
from research.experience.date_range import DateRange, Dates
from research.experience.headings import Section
from research.experience.job_dates import (
    STUDIES,
    around,
    is_something_else,
    line_around,
    stands_alone,
)
from research.experience.languages import FOREIGN
from research.experience.parsed_cv import Unread
from research.experience.points import year_at

MOST_UNREAD = 100
"""Strings that are reported of one text."""
HEADER = 80
"""Characters of a line that may be a header."""
_TOGETHER = 14
"""Characters between two parts of one date, at most."""


def line_of(text: str, at: int) -> int:
    """The number of the line, from 1, in which a character stands."""
    return text.count("\n", 0, at) + 1


def unread_dates(
    text: str, dates: Dates, chosen: Sequence[DateRange], sections: Sequence[Section]
) -> tuple[Unread, ...]:
    """The strings in order, MOST_UNREAD at most.

    dates:  what was read of the text; chosen: those that are the times of experiences
    """
    kinds = {s.kind for s in sections}
    looked = {"experience"} if "experience" in kinds else {"summary"}
    found: list[Unread] = []
    place, line, counted = 0, 1, 0
    for group in _groups(text, dates, chosen):
        at, to = group[0][0], group[-1][1]
        while place + 1 < len(sections) and sections[place + 1].start <= at:
            place += 1
        if sections[place].kind not in looked or not _is_date(text, at, to, group):
            continue
        line, counted = line + text.count("\n", counted, at), at
        found.append(Unread(text[at:to], at, to, line, _why(group)))
        if len(found) == MOST_UNREAD:
            break
    return tuple(found)


Span = tuple[int, int, str, str]
"""Start, end, kind and text of a part of a date."""


def _spans(text: str, dates: Dates, chosen: Sequence[DateRange]) -> Iterator[Span]:
    """Dates that no experience uses, years that are in no date, masked years, foreign months."""
    used = {(r.at, r.to) for r in chosen}
    ranges = iter(dates.ranges)
    current = next(ranges, None)
    for i, atom in enumerate(dates.atoms):
        while current is not None and current.to <= atom.start:
            current = next(ranges, None)
        inside = current is not None and current.at <= atom.start
        if current is not None and inside:
            if atom.start == current.at or (i and dates.atoms[i - 1].start < current.at):
                kind = "used" if (current.at, current.to) in used else current.kind
                yield current.at, current.to, kind, text[current.at : current.to]
        elif atom.kind in ("masked", "foreign"):
            era = atom.kind == "foreign" and "year" in FOREIGN[atom.text]
            yield atom.start, atom.end, "era" if era else atom.kind, atom.text
        elif atom.kind in ("month", "season"):
            yield atom.start, atom.end, "name", atom.text
        elif atom.kind == "number":
            year = year_at(text, dates.atoms, i)
            kind = "year" if year is not None and 1950 <= year < 2050 else "number"
            yield atom.start, atom.end, kind, atom.text


def _groups(text: str, dates: Dates, chosen: Sequence[DateRange]) -> Iterator[list[Span]]:
    """Spans that stand together and hold a year or a masked one; none that an experience uses."""
    group: list[Span] = []
    for span in _spans(text, dates, chosen):
        gap = text[group[-1][1] : span[0]] if group else ""
        if group and (span[2] == "used" or len(gap) > _TOGETHER or not _joins(gap)):
            yield from _complete(group)
            group = []
        if span[2] != "used":
            group.append(span)
    yield from _complete(group)


_ONE_WORD = re.compile(r"\W{0,4}(?:[年月日号元년월일]{1,2}|[^\W\d_]{0,4})\W{0,4}")


def _joins(gap: str) -> bool:
    """Whether two parts with this between them are one date, a range or a list."""
    if "\n" in gap:
        return False
    signs = len(gap) <= 8 and _ONE_WORD.fullmatch(gap) is not None
    return signs or any(m.fullmatch(gap) for m in (CONNECTOR, LISTED, LOST))


def _complete(group: list[Span]) -> list[list[Span]]:
    """The group, if it holds a year or a masked one, two names of months, or a foreign month."""
    kinds = Counter(kind for _, _, kind, _ in group)
    names, others = kinds.pop("name", 0), kinds.pop("number", 0)
    foreign = kinds.pop("foreign", 0)
    return [group] if kinds or names > 1 or (foreign and others) else []


def _is_date(text: str, at: int, to: int, group: Sequence[Span]) -> bool:
    """Whether a group is a date of an experience, as far as its surroundings tell."""
    before, after = around(text, at, to)
    if is_something_else(before, after) or NOT_A_YEAR.search(before[-14:]):
        return False
    kinds = [kind for _, _, kind, _ in group]
    if text[at - 1 : at] == "-" and text[at - 2 : at - 1].isdigit():
        return False  # a telephone number
    if STUDIES.search(line_around(before, after)):
        return False
    if {"masked", "range", "since", "list"} & set(kinds) or _why(group):
        return True
    if sum(kind in ("point", "year") for kind in kinds) > 1 and len(group) < 8:
        return stands_alone(before, after, comma=True) or _in_header(text, at, to)
    return _in_header(text, at, to)


def _in_header(text: str, at: int, to: int) -> bool:
    """Whether a date begins or ends a short line that is no sentence."""
    start = text.rfind("\n", max(0, at - HEADER), at) + 1
    end = text.find("\n", to, to + HEADER)
    end = min(len(text), to + HEADER) if end < 0 else end
    if at - start > HEADER or end - start > HEADER:
        return False
    left, right = text[start:at].strip(), text[to:end].strip()
    if right.endswith((".", ";")) or left.startswith(tuple("•-*–▪·")):
        return False
    words = len(left.split()) + len(right.split())
    return (
        words <= 3
        or not right.strip(")].,|")
        or not left.strip("([|")
        or stands_alone(*around(text, at, to))
    )


def _why(group: Sequence[Span]) -> str:
    """The reason that is known: a masked year, or a language."""
    for _, _, kind, word in group:
        if kind == "masked":
            return "the year is masked"
        if kind in ("foreign", "era"):
            return f"dates in {FOREIGN[word]} are not read"
    return ""
