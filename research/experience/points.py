"""One date as people write it → the months it covers. Ours.

point = 08/2014 | 05 2014 | 2/1/2012 | 2014-08 | Aug. 2014 | 1 Oct 2015 | 2016年1月 | 2014
        | Summer 2015
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from itertools import pairwise

from jdcv_core.months import month_of
from research.experience.atoms import Atom
from research.experience.connectors import CONNECTOR
from research.experience.languages import MONTH, SEASON
from research.experience.month_intervals import FIRST_YEAR, LAST_YEAR

NEAR = re.compile(
    r"[\s.,'’´`‘\-/]{0,3}|\.?\s(?:of|de|del|din|do)\s|\s(?i:semester|term|quarter|session)s?(?:\s(?:of\s)?|,\s)"
)
"""Between the name of a month or season and its year."""
_DAY = re.compile(r"(?:st|nd|rd|th|er|\.|º)?\s?(?:of\s|de\s)?-?")
_YEAR_AFTER_DAY = re.compile(r"(?:st|nd|rd|th)?,?\s{0,2}(?:(?:of|de|del)\s)?")
_EAST = re.compile(
    r"\d{4}\s?(?:[年년]\s?(?:度\s?)?(?:(?P<month>\d{1,2})\s?[月월]\s?(?:\d{1,2}\s?[日일号]\s?)?)?)"
)
"""2016年1月, 2016년 1월 5일."""
PIVOT = 50
"""A year of two digits below it belongs to 20xx."""


@dataclass(frozen=True)
class Point:
    """One date as written: it covers the months [start, end) and stands at [at, to) in the text.

    unit: month, season, year; or bare (a month or season whose year stands elsewhere; then start is
          its first month from 1 to 12)
    weak: read only as an end of a range (9/14 might be a day, Sept 13, too)
    """

    start: int
    end: int
    at: int
    to: int
    unit: str
    doubts: tuple[str, ...] = ()
    weak: bool = False


Read = tuple[Point, int]
"""A date, and the number of the atom after it."""


def point_at(
    text: str, atoms: list[Atom], i: int, day_first: bool, iso: bool = False
) -> Read | None:
    """The date that begins at atom i; iso: 2015-03 is a month."""
    atom = atoms[i]
    if atom.kind == "month":
        return _from_month(text, atoms, i)
    if atom.kind == "season":
        return _from_season(text, atoms, i)
    if atom.kind != "number" or counted(text, atom):
        return None
    if len(atom.text) == 4:
        return _from_year(text, atoms, i, iso)
    if len(atom.text) <= 2:
        return _from_small(text, atoms, i, day_first)
    return None


def month_point(year: int, month: int, at: int, to: int) -> Point:
    start = month_of(year, month)
    return Point(start, start + 1, at, to, "month")


def with_year_of(first: Point, last: Point) -> Point:
    """A month without a year takes that of the end: `Jun - Sept 2009`, `Nov - Feb 2010`."""
    start = month_of(last.start // 12, first.start)
    doubts: tuple[str, ...] = ()
    if start > last.start:
        start -= 12
        doubts = ("the year of its start is not written",)
    months = first.end - first.start
    unit = "month" if months == 1 else "season"
    return replace(first, start=start, end=start + months, unit=unit, doubts=doubts)


def year_at(text: str, atoms: list[Atom], i: int) -> int | None:
    """The year that atom i is, from 1900 to 2100."""
    if i >= len(atoms) or atoms[i].kind != "number" or len(atoms[i].text) != 4:
        return None
    year = int(atoms[i].text)
    return year if FIRST_YEAR <= year <= LAST_YEAR and not counted(text, atoms[i]) else None


def short_year_at(text: str, atoms: list[Atom], i: int) -> int | None:
    """The year that atom i is, if it is written as '09."""
    if i >= len(atoms) or atoms[i].kind != "number" or len(atoms[i].text) != 2:
        return None
    return century(int(atoms[i].text)) if text[atoms[i].start - 1] in "'’´`‘" else None


def writes_day_first(text: str, atoms: list[Atom]) -> bool:
    """Whether some date of the text can only be read as day/month/year, and none the other way."""
    day_first = month_first = False
    for a, b, c in zip(atoms, atoms[1:], atoms[2:], strict=False):
        if a.kind == b.kind == c.kind == "number" and len(a.text) <= 2 and len(b.text) <= 2:
            gap = text[a.end : b.start]
            if gap in ("/", ".", "-") and gap == text[b.end : c.start] and len(c.text) in (2, 4):
                day_first |= int(a.text) > 12
                month_first |= int(b.text) > 12
    return day_first and not month_first


def _from_season(text: str, atoms: list[Atom], i: int) -> Read | None:
    atom, first = atoms[i], SEASON[atoms[i].text]
    if i + 1 < len(atoms) and NEAR.fullmatch(text, atom.end, atoms[i + 1].start):
        year = year_at(text, atoms, i + 1) or short_year_at(text, atoms, i + 1)
        if year is not None:
            start = month_of(year, first)
            next_ = i + 3 if is_next_year(text, atoms, i + 1, year) else i + 2
            return Point(start, start + 3, atom.start, atoms[next_ - 1].end, "season"), next_
    return Point(first, first + 3, atom.start, atom.end, "bare"), i + 1


def is_next_year(text: str, atoms: list[Atom], i: int, year: int) -> bool:
    """Whether the year that atom i is continues as in Winter 2014/15."""
    if i + 1 >= len(atoms) or text[atoms[i].end : atoms[i + 1].start] not in ("/", "-"):
        return False
    word = atoms[i + 1].text
    return word.isdecimal() and len(word) in (2, 4) and int(word) == (year + 1) % 10 ** len(word)


def _from_month(text: str, atoms: list[Atom], i: int) -> Read | None:
    month = MONTH[atoms[i].text]
    at = atoms[i].start
    bare = Point(month, month + 1, at, atoms[i].end, "bare")
    if i + 1 >= len(atoms) or not NEAR.fullmatch(text, atoms[i].end, atoms[i + 1].start):
        return bare, i + 1
    year = year_at(text, atoms, i + 1)
    if year is not None:
        return month_point(year, month, at, atoms[i + 1].end), i + 2
    number = atoms[i + 1]
    if number.kind != "number" or len(number.text) > 2:
        return bare, i + 1
    after = year_at(text, atoms, i + 2)
    if (
        after is not None
        and 1 <= int(number.text) <= 31
        and _YEAR_AFTER_DAY.fullmatch(text, number.end, atoms[i + 2].start)
    ):
        return month_point(after, month, at, atoms[i + 2].end), i + 3
    if len(number.text) == 2 and "\n" not in text[atoms[i].end : number.start]:
        marked = text[number.start - 1] in "'’´`‘"
        point = month_point(century(int(number.text)), month, at, number.end)
        doubts = () if marked else ("a year of two digits might be a day",)
        return replace(point, doubts=doubts, weak=not marked), i + 2
    return bare, i + 1


def _from_year(text: str, atoms: list[Atom], i: int, iso: bool) -> Read | None:
    """A date that begins with a year: 2014-08-01, 2014/08, 2016年1月, 2007 June, 2014."""
    atom, year = atoms[i], year_at(text, atoms, i)
    if year is None:
        return None
    start = month_of(year, 1)
    if text[atom.end : atom.end + 2].strip()[:1] in ("年", "년"):
        return _from_east(text, atoms, i, year)
    if i + 1 < len(atoms):
        gap, other = text[atom.end : atoms[i + 1].start], atoms[i + 1]
        if _is_number(other, 12) and gap in ("-", "/", "."):
            month, third = int(other.text), atoms[i + 2 : i + 3]
            if third and _is_number(third[0], 31) and text[other.end : third[0].start] == gap:
                return month_point(year, month, atom.start, third[0].end), i + 3
            longer = re.match(r"[/.]\d", text[other.end : other.end + 2])  # Visio 2015.12/2014
            if not longer and (gap != "-" or iso or _iso_follows(text, atoms, i + 2)):
                return month_point(year, month, atom.start, other.end), i + 2
        alone = other.kind == "month" and (
            year_at(text, atoms, i + 2) is None or _year_first_twice(text, atoms, i)
        )
        if alone and gap in ("", " ", ", ", "-"):
            return month_point(year, MONTH[other.text], atom.start, other.end), i + 2
    return Point(start, start + 12, atom.start, atom.end, "year"), i + 1


def _year_first_twice(text: str, atoms: list[Atom], i: int) -> bool:
    """Whether atom i begins `2015 Jan - 2019 Mar`."""
    if i + 3 >= len(atoms) or atoms[i + 3].kind != "month":
        return False
    gaps = [text[one.end : two.start] for one, two in pairwise(atoms[i : i + 4])]
    return gaps[0] == gaps[2] and CONNECTOR.fullmatch(gaps[1]) is not None


def _from_east(text: str, atoms: list[Atom], i: int, year: int) -> Read | None:
    m = _EAST.match(text, atoms[i].start)
    if m is None:
        return None
    next_ = i + 1
    while next_ < len(atoms) and atoms[next_].start < m.end():
        next_ += 1
    to = atoms[i].start + len(m[0].rstrip())
    if m["month"] is None:
        start = month_of(year, 1)
        return Point(start, start + 12, atoms[i].start, to, "year"), next_
    if not 1 <= int(m["month"]) <= 12:
        return None
    return month_point(year, int(m["month"]), atoms[i].start, to), next_


def _is_number(atom: Atom, most: int) -> bool:
    """Whether it is one or two digits from 1 to `most`."""
    return atom.kind == "number" and len(atom.text) <= 2 and 1 <= int(atom.text) <= most


def _iso_follows(text: str, atoms: list[Atom], i: int) -> bool:
    """Whether after 2014-08 a connector and another such month (or "present") stand."""
    if i >= len(atoms) or not CONNECTOR.fullmatch(text, atoms[i - 1].end, atoms[i].start):
        return False
    if atoms[i].kind == "open":
        return True
    return (
        year_at(text, atoms, i) is not None
        and i + 1 < len(atoms)
        and text[atoms[i].end : atoms[i + 1].start] == "-"
        and len(atoms[i + 1].text) == 2
    )


def _from_small(text: str, atoms: list[Atom], i: int, day_first: bool) -> Read | None:
    """A date that begins with a number of one or two digits."""
    first, number = atoms[i], int(atoms[i].text)
    marked = short_year_at(text, atoms, i)
    if marked is not None:
        start = month_of(marked, 1)
        return Point(start, start + 12, first.start, first.end, "year", weak=True), i + 1
    if i + 1 >= len(atoms) or atoms[i + 1].start - first.end > 6:
        return None
    second = atoms[i + 1]
    gap = text[first.end : second.start]
    if second.kind == "month" and 1 <= number <= 31 and _DAY.fullmatch(gap):
        named = _from_month(text, atoms, i + 1)
        if named is not None and named[0].unit == "month":
            return replace(named[0], at=first.start, weak=False), named[1]
        return None
    if second.kind != "number":
        return None
    sign = gap.strip()
    within = re.search(r"\d[./]$", text[max(0, first.start - 2) : first.start])
    if within and within[0][1] == sign:
        return None  # the middle of a longer one: 1/05/2014
    if sign in ("/", ".", "-") and len(gap) <= 3:
        if i + 2 < len(atoms) and gap == sign and text[second.end : atoms[i + 2].start] == sign:
            return _from_day(text, atoms, i, day_first)
        year = year_at(text, atoms, i + 1)
        if year is not None and 1 <= number <= 12:
            return month_point(year, number, first.start, second.end), i + 2
        if gap == "/" and len(second.text) == 2 and 1 <= number <= 12:
            point = month_point(century(int(second.text)), number, first.start, second.end)
            return replace(point, weak=True), i + 2
    if gap == " " and len(first.text) == 2 and 1 <= number <= 12:
        year = year_at(text, atoms, i + 1)
        if year is not None:
            return replace(month_point(year, number, first.start, second.end), weak=True), i + 2
    return None


def _from_day(text: str, atoms: list[Atom], i: int, day_first: bool) -> Read | None:
    """2/1/2012 or 04-09-2003: day and month in either order, as the document writes them."""
    if any(a.kind != "number" or len(a.text) > 4 for a in atoms[i : i + 3]):
        return None
    one, two, three = (int(a.text) for a in atoms[i : i + 3])
    year = year_at(text, atoms, i + 2)
    if year is None:
        if len(atoms[i + 2].text) != 2:
            return None
        year = century(three)
    doubts: tuple[str, ...] = ()
    if one > 12 or (day_first and two <= 12):
        day, month = one, two
    else:
        month, day = one, two
        if two <= 12 and two not in (1, one):
            doubts = ("day and month may stand in the other order",)
    if not (1 <= month <= 12 and 1 <= day <= 31):
        return None
    point = month_point(year, month, atoms[i].start, atoms[i + 2].end)
    return replace(point, doubts=doubts), i + 3


def counted(text: str, atom: Atom) -> bool:
    """Whether a number is an amount, a share, a version or part of a longer code."""
    before, after = text[atom.start - 1 : atom.start], text[atom.end : atom.end + 2]
    if before in ("$", "£", "€", "#", "+", "_", "@") or after[:1] in ("%", "+", "_", "@"):
        return True
    if before in (",", ".") and text[atom.start - 2 : atom.start - 1].isdigit():
        return before == ","
    if after[:1] == "," and after[1:].isdigit():
        return True
    return after == "s " or (after[:1] == "s" and not after[1:].isalpha())


def century(year: int) -> int:
    return year + (2000 if year < PIVOT else 1900)
