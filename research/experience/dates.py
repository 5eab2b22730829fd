"""Text → date ranges, as people write them in CVs, glued and garbled. Ours.

Two steps, each one pass over the text. *Atoms* are numbers, names of months and seasons, and words
for "until now"; they are looked up, not searched for, so no input makes it slow. A small grammar
then reads atoms and the few characters between them:

    point  = 08/2014 | 05 2014 | 2/1/2012 | 2014-08 | Aug. 2014 | 1 Oct 2015 | Summer 2015 | 2014
    range  = point connector (point | present) | since point | point onwards | point dash | point

A dash that was lost on the way (`2002  2005`, `20132015`, `2016present`) is read as one. What can
be read in two ways is read in the likelier one and says so in `doubts`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import NamedTuple

from jdcv_core.months import month_of
from research.experience.month_intervals import FIRST_YEAR, LAST_YEAR

MONTHS = (
    "january jan januar jänner janvier janv enero ene ianuarie ian",
    "february feb februar février fevrier févr fevr febrero februarie",
    "march mar mars märz maerz mrz marzo martie",
    "april apr avril avr abril abr aprilie",
    "may mai mayo",
    "june jun juin junio juni iunie iun",
    "july jul juillet juil julio juli iulie iul",
    "august aug août aout agosto ago",
    "september sept sep septembre septiembre septembrie",
    "october oct octobre octubre oktober okt octombrie",
    "november nov novembre noviembre noiembrie noi",
    "december dec décembre decembre déc diciembre dic dezember dez decembrie",
)
"""Names of the twelve months in English, German, French, Spanish and Romanian."""

SEASONS = {
    "spring": 3, "printemps": 3, "primavera": 3, "frühling": 3,
    "summer": 6, "été": 6, "verano": 6, "sommer": 6, "vara": 6,
    "fall": 9, "autumn": 9, "automne": 9, "otoño": 9, "herbst": 9, "toamna": 9,
    "winter": 12, "hiver": 12, "invierno": 12, "iarna": 12,
}  # fmt: skip
"""The month in which a season begins; it has three."""

OPEN = (
    "present presently current currently now today ongoing date heute jetzt aujourd "
    "actuel actuellement présent jour actual actualidad actualmente presente fecha hoy "
    "prezent astăzi azi"
)
"""Words for an end that is still open; they count after a date and a connector only."""

_MONTH = {name: at + 1 for at, line in enumerate(MONTHS) for name in line.split()}
_WORDS = (
    dict.fromkeys(_MONTH, "month")
    | dict.fromkeys([*SEASONS, *(f"{name}s" for name in SEASONS)], "season")
    | dict.fromkeys(OPEN.split(), "open")
    | dict.fromkeys(("onward", "onwards"), "onwards")
)
_TOKEN = re.compile(r"\d+|[A-ZÀ-Þ]?[a-zß-ÿăâîșțşţ]+|[A-ZÀ-ÞĂÂÎȘȚ]+")
"""Numbers and words; words that are glued by their capitals come apart: `toCurrentLockheed`."""
_DASH = r"(?:-{1,2}|[–—−‒―~\u0096\u0097\ufffd]|â\x80[\x93\x94])"
_WORD = (
    r"(?i:to\s+till|up\s?to|till?|until|untill|to|thru|through|bis|au|à|jusqu['’]à|al?|hasta|"
    r"p[âa]n[ăa]\s+(?:la|în|in)|la)"
)
_CONNECTOR = re.compile(
    rf"\s{{0,3}}(?:{_DASH}|{_WORD})\s{{0,3}}(?:(?i:till|to|the|la|ce)\s{{1,2}})?"
)
_LOST = re.compile(r"\s{2,4}|\s?[\ue000-\uf8ff]\s?")
"""Where a dash was."""
_NEAR = re.compile(r"[\s.,'’´`‘\-–/]{0,3}|\s(?:of|de|del|din)\s")
"""Between the name of a month and its year."""
_DAY = re.compile(r"(?:st|nd|rd|th|er|\.|º)?\s?(?:of\s|de\s)?-?")
_YEAR_AFTER_DAY = re.compile(r"(?:st|nd|rd|th)?,?\s{0,2}")
_SINCE = re.compile(r"(?i:since|seit|depuis|desde|din|ab)\s{0,2}:?\s{0,2}$")
_OPEN_DASH = re.compile(rf"\s?{_DASH}(?=\n| {{2}}|\s?\Z)")
"""A dash that nothing follows: `August 2014 —` at the end of a line."""
_NOT_A_YEAR = re.compile(
    r"(?i:server|windows|win|office|studio|sharepoint|exchange|excel|access|word|project|visio|"
    r"outlook|powerpoint|autocad|dynamics|revit|solidworks|quickbooks|iso|version|ver|sql|vb|asp|"
    r"ms|page|room|suite|box|gst|form|over|than|about|approximately|code|act|net|crm|ax|nav|bw|"
    r"sap|java|ecma|cisco|catalyst|series|model|part|class|no|number)\W{0,2}$"
)
"""Words before a number of four digits that is a version or an amount."""
PIVOT = 50
"""A year of two digits below it belongs to 20xx."""


MOST_ATOMS = 2000
"""Numbers and names that are read of one text, many times what a CV has. What comes
after them is not read, so that no text takes long."""


class Atom(NamedTuple):
    kind: str
    start: int
    end: int
    text: str


@dataclass(frozen=True)
class Point:
    """One date as written: it covers the months [start, end) and stands at [at, to) in the text.

    unit: month, season, year; or bare (a month whose year stands elsewhere)
    weak: read only as an end of a range (9/14 might be a day, Sept 13, too)
    """

    start: int
    end: int
    at: int
    to: int
    unit: str
    doubts: tuple[str, ...] = ()
    weak: bool = False


@dataclass(frozen=True)
class DateRange:
    """A time as written at [at, to) in the text.

    start: its first month
    end:   the first month after it, or None while it lasts ("current"). An end that is written as
           a month or year is where the time ends: 08/2014-05/2015 are 9 months and 2012-2014 are
           24. A range within one month or year, and a point alone, cover that unit
    kind:  range, since, or point
    unit:  month, season or year: the coarser of what start and end are written in
    doubts: in which other way it could be read
    """

    at: int
    to: int
    start: int
    end: int | None
    kind: str
    unit: str = "month"
    doubts: tuple[str, ...] = ()

    @property
    def current(self) -> bool:
        return self.end is None


def atoms_of(text: str) -> list[Atom]:
    """Numbers, and the words that stand in dates, in order; MOST_ATOMS at most."""
    atoms: list[Atom] = []
    for m in _TOKEN.finditer(text):
        if len(atoms) == MOST_ATOMS:
            break
        word = m[0]
        if word.isdigit():
            atoms.append(Atom("number", m.start(), m.end(), word))
            continue
        word = word.lower()
        kind = _WORDS.get(word)
        if kind is not None:
            atoms.append(Atom(kind, m.start(), m.end(), word))
        elif word.startswith("to") and _WORDS.get(word[2:]) == "open":  # 2014tocurrent
            atoms.append(Atom("open", m.start() + 2, m.end(), word[2:]))
    return atoms


def date_ranges(text: str) -> list[DateRange]:
    """Every date and range of dates in the text, in order, none overlapping another.

    Whether one is the time of an experience is for `parsing` to say.

    >>> [(r.start % 12 + 1, r.start // 12, r.current) for r in date_ranges("05/2014toCurrent")]
    [(5, 2014, True)]
    """
    atoms = atoms_of(text)
    day_first = _writes_day_first(text, atoms)
    found: list[DateRange] = []
    i = 0
    while i < len(atoms):
        read = _range(text, atoms, i, day_first)
        if read is None:
            i += 1
        else:
            found.append(read[0])
            i = read[1]
    return found


def _range(text: str, atoms: list[Atom], i: int, day_first: bool) -> tuple[DateRange, int] | None:
    """The range that begins at atom i, and the atom after it."""
    glued = _glued_years(text, atoms, i)
    if glued is not None:
        return glued, i + 1
    read = _point(text, atoms, i, day_first)
    if read is None:
        return None
    point, j = read
    end = _end(text, atoms, point, j, day_first)
    if end is not None:
        return end
    if point.weak or point.unit == "bare":
        return None
    if (
        j < len(atoms)
        and atoms[j].kind == "onwards"
        and not text[point.to : atoms[j].start].strip()
    ):
        return DateRange(point.at, atoms[j].end, point.start, None, "since", point.unit), j + 1
    if _SINCE.search(text, max(0, point.at - 12), point.at):
        return DateRange(point.at, point.to, point.start, None, "since", point.unit), j
    doubts = point.doubts
    if _ends_in_a_dash(text, atoms, point, j):
        doubts = (*doubts, "its end is not written")
        return DateRange(point.at, point.to, point.start, None, "since", point.unit, doubts), j
    return DateRange(point.at, point.to, point.start, point.end, "point", point.unit, doubts), j


def _end(
    text: str, atoms: list[Atom], first: Point, j: int, day_first: bool
) -> tuple[DateRange, int] | None:
    """The range from `first` to what begins at atom j, if a connector stands between them."""
    if j >= len(atoms):
        return None
    gap = text[first.to : atoms[j].start]
    if len(gap) > 12:
        return None
    connected = _CONNECTOR.fullmatch(gap) is not None
    if atoms[j].kind == "open":
        near = connected or (not gap.strip() and atoms[j].text != "date")
        if not near or first.unit == "bare":
            return None
        to, next_ = atoms[j].end, j + 1
        unit = first.unit
        return DateRange(first.at, to, first.start, None, "range", unit, first.doubts), next_
    lost = _LOST.fullmatch(gap) is not None
    slash = gap == "/" and first.unit == "year"  # 2015/2016, an academic year
    one_space = gap == " " and first.unit == "year"
    if not (connected or lost or slash or one_space):
        return None
    iso = first.unit == "month" and text[first.at : first.at + 4].isdigit()
    read = _short_year(text, atoms, first, j, gap) or _point(text, atoms, j, day_first, iso)
    if read is None:
        return None
    last, next_ = read
    if first.unit == "bare":
        if last.unit != "month":
            return None
        first = _with_year_of(first, last)
    if last.unit == "bare" or (not connected and not _same_kind(first, last)):
        return None
    if slash and last.start - first.start != 12:
        return None  # Windows 2000/2003
    if (one_space or slash) and _NOT_A_YEAR.search(text, max(0, first.at - 14), first.at):
        return None
    end = last.end if last.start == first.start else last.start
    unit = max(first.unit, last.unit, key=("month", "season", "year").index)
    doubts = (*first.doubts, *last.doubts)
    return DateRange(first.at, last.to, first.start, end, "range", unit, doubts), next_


def _ends_in_a_dash(text: str, atoms: list[Atom], point: Point, j: int) -> bool:
    """Whether a dash stands after the point, and then a break that no date follows."""
    dash = _OPEN_DASH.match(text, point.to)
    if dash is None or _NOT_A_YEAR.search(text, max(0, point.at - 14), point.at):
        return False
    return j >= len(atoms) or text[dash.end() : min(atoms[j].start, dash.end() + 200)].strip() != ""


def _same_kind(first: Point, last: Point) -> bool:
    """Whether two points without a connector may be a range whose dash was lost."""
    alike = (first.unit, first.weak) == (last.unit, last.weak)
    return alike and last.start >= first.start


def _with_year_of(first: Point, last: Point) -> Point:
    """A month without a year takes that of the end: `Jun - Sept 2009`, `Nov - Feb 2010`."""
    number = first.start
    start = month_of(last.start // 12, number)
    doubts: tuple[str, ...] = ()
    if start > last.start:
        start -= 12
        doubts = ("the year of its start is not written",)
    return replace(first, start=start, end=start + 1, unit="month", doubts=doubts)


def _point(
    text: str, atoms: list[Atom], i: int, day_first: bool, iso: bool = False
) -> tuple[Point, int] | None:
    """The date that begins at atom i, and the atom after it; iso: 2015-03 is a month."""
    atom = atoms[i]
    if atom.kind == "month":
        return _from_month(text, atoms, i)
    if atom.kind == "season":
        year = _year_at(text, atoms, i + 1)
        if year is None or not _NEAR.fullmatch(text, atom.end, atoms[i + 1].start):
            return None
        start = month_of(year, 1) + SEASONS[atom.text.rstrip("s")] - 1
        return Point(start, start + 3, atom.start, atoms[i + 1].end, "season"), i + 2
    if atom.kind != "number" or _counted(text, atom):
        return None
    if len(atom.text) == 4:
        return _from_year(text, atoms, i, iso)
    if len(atom.text) <= 2:
        return _from_small(text, atoms, i, day_first)
    return None


def _from_month(text: str, atoms: list[Atom], i: int) -> tuple[Point, int] | None:
    month = _MONTH[atoms[i].text]
    at = atoms[i].start
    bare = Point(month, month, at, atoms[i].end, "bare")
    if i + 1 >= len(atoms) or not _NEAR.fullmatch(text, atoms[i].end, atoms[i + 1].start):
        return bare, i + 1
    year = _year_at(text, atoms, i + 1)
    if year is not None:
        return _month_point(year, month, at, atoms[i + 1].end), i + 2
    number = atoms[i + 1]
    if number.kind != "number" or len(number.text) > 2:
        return bare, i + 1
    after = _year_at(text, atoms, i + 2)
    if (
        after is not None
        and 1 <= int(number.text) <= 31
        and _YEAR_AFTER_DAY.fullmatch(text, number.end, atoms[i + 2].start)
    ):
        return _month_point(after, month, at, atoms[i + 2].end), i + 3
    if len(number.text) == 2 and "\n" not in text[atoms[i].end : number.start]:
        marked = text[number.start - 1] in "'’´`‘"
        point = _month_point(_century(int(number.text)), month, at, number.end)
        doubts = () if marked else ("a year of two digits might be a day",)
        return replace(point, doubts=doubts, weak=not marked), i + 2
    return bare, i + 1


def _from_year(text: str, atoms: list[Atom], i: int, iso: bool) -> tuple[Point, int] | None:
    """A date that begins with a year: 2014-08-01, 2014/08, 2007 June, 2014."""
    atom, year = atoms[i], _year_at(text, atoms, i)
    if year is None:
        return None
    if i + 1 < len(atoms):
        gap, other = text[atom.end : atoms[i + 1].start], atoms[i + 1]
        if _is_number(other, 12) and gap in ("-", "/", "."):
            month, third = int(other.text), atoms[i + 2 : i + 3]
            if third and _is_number(third[0], 31) and text[other.end : third[0].start] == gap:
                return _month_point(year, month, atom.start, third[0].end), i + 3
            longer = re.match(r"[/.]\d", text[other.end : other.end + 2])  # Visio 2015.12/2014
            if not longer and (gap != "-" or iso or _iso_follows(text, atoms, i + 2)):
                return _month_point(year, month, atom.start, other.end), i + 2
        alone = other.kind == "month" and _year_at(text, atoms, i + 2) is None
        if alone and gap in ("", " ", ", ", "-"):
            return _month_point(year, _MONTH[other.text], atom.start, other.end), i + 2
    start = month_of(year, 1)
    return Point(start, start + 12, atom.start, atom.end, "year"), i + 1


def _is_number(atom: Atom, most: int) -> bool:
    """Whether it is one or two digits from 1 to `most`."""
    return atom.kind == "number" and len(atom.text) <= 2 and 1 <= int(atom.text) <= most


def _iso_follows(text: str, atoms: list[Atom], i: int) -> bool:
    """Whether after 2014-08 a connector and another such month (or "present") stand."""
    if i >= len(atoms) or not _CONNECTOR.fullmatch(text, atoms[i - 1].end, atoms[i].start):
        return False
    if atoms[i].kind == "open":
        return True
    return (
        _year_at(text, atoms, i) is not None
        and i + 1 < len(atoms)
        and text[atoms[i].end : atoms[i + 1].start] == "-"
        and len(atoms[i + 1].text) == 2
    )


def _from_small(text: str, atoms: list[Atom], i: int, day_first: bool) -> tuple[Point, int] | None:
    """A date that begins with a number of one or two digits."""
    first, number = atoms[i], int(atoms[i].text)
    if i + 1 >= len(atoms):
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
        year = _year_at(text, atoms, i + 1)
        if year is not None and 1 <= number <= 12:
            return _month_point(year, number, first.start, second.end), i + 2
        if gap == "/" and len(second.text) == 2 and 1 <= number <= 12:
            point = _month_point(_century(int(second.text)), number, first.start, second.end)
            return replace(point, weak=True), i + 2
    if gap == " " and len(first.text) == 2 and 1 <= number <= 12:
        year = _year_at(text, atoms, i + 1)
        if year is not None:
            return replace(_month_point(year, number, first.start, second.end), weak=True), i + 2
    return None


def _from_day(text: str, atoms: list[Atom], i: int, day_first: bool) -> tuple[Point, int] | None:
    """2/1/2012 or 04-09-2003: day and month in either order, as the document writes them."""
    if any(a.kind != "number" or len(a.text) > 4 for a in atoms[i : i + 3]):
        return None
    one, two, three = (int(a.text) for a in atoms[i : i + 3])
    year = _year_at(text, atoms, i + 2)
    if year is None:
        if len(atoms[i + 2].text) != 2:
            return None
        year = _century(three)
    doubts: tuple[str, ...] = ()
    if one > 12 or (day_first and two <= 12):
        day, month = one, two
    else:
        month, day = one, two
        if two <= 12 and two not in (1, one):
            doubts = ("day and month may stand in the other order",)
    if not (1 <= month <= 12 and 1 <= day <= 31):
        return None
    point = _month_point(year, month, atoms[i].start, atoms[i + 2].end)
    return replace(point, doubts=doubts), i + 3


def _short_year(
    text: str, atoms: list[Atom], first: Point, j: int, gap: str
) -> tuple[Point, int] | None:
    """The end of 2011-13: a year of two digits after a year and a dash."""
    atom = atoms[j]
    if first.unit != "year" or atom.kind != "number" or len(atom.text) != 2:
        return None
    after = text[atom.end : atom.end + 2]
    if "\n" in gap or len(gap) > 3 or re.match(r"[/.\-]\d", after):
        return None
    if j + 1 < len(atoms) and atoms[j + 1].kind == "month":
        return None
    year = first.start // 12 // 100 * 100 + int(atom.text)
    if year < first.start // 12:
        year += 100
    if year - first.start // 12 > 60 or year > LAST_YEAR:
        return None
    doubts = ("it might be a year and a month",) if 1 <= int(atom.text) <= 12 else ()
    start = month_of(year, 1)
    return Point(start, start + 12, atom.start, atom.end, "year", doubts), j + 1


def _glued_years(text: str, atoms: list[Atom], i: int) -> DateRange | None:
    """20132015: two years whose dash was lost."""
    atom = atoms[i]
    if atom.kind != "number" or len(atom.text) != 8 or _counted(text, atom):
        return None
    first, last = int(atom.text[:4]), int(atom.text[4:])
    if not (1950 <= first <= last <= 2049):
        return None
    start, end = month_of(first, 1), month_of(last + (first == last), 1)
    doubts = ("two years without a sign between them",)
    return DateRange(atom.start, atom.end, start, end, "range", "year", doubts)


def _month_point(year: int, month: int, at: int, to: int) -> Point:
    start = month_of(year, month)
    return Point(start, start + 1, at, to, "month")


def _year_at(text: str, atoms: list[Atom], i: int) -> int | None:
    """The year that atom i is, from 1900 to 2100."""
    if i >= len(atoms) or atoms[i].kind != "number" or len(atoms[i].text) != 4:
        return None
    year = int(atoms[i].text)
    return year if FIRST_YEAR <= year <= LAST_YEAR and not _counted(text, atoms[i]) else None


def _counted(text: str, atom: Atom) -> bool:
    """Whether a number is an amount, a share, a version or part of a longer code."""
    before, after = text[atom.start - 1 : atom.start], text[atom.end : atom.end + 2]
    if before in ("$", "£", "€", "#", "+", "_", "@") or after[:1] in ("%", "+", "_", "@"):
        return True
    if before in (",", ".") and text[atom.start - 2 : atom.start - 1].isdigit():
        return before == ","
    if after[:1] == "," and after[1:].isdigit():
        return True
    return after == "s " or (after[:1] == "s" and not after[1:].isalpha())


def _century(year: int) -> int:
    return year + (2000 if year < PIVOT else 1900)


def _writes_day_first(text: str, atoms: list[Atom]) -> bool:
    """Whether some date of the text can only be read as day/month/year, and none the other way."""
    day_first = month_first = False
    for a, b, c in zip(atoms, atoms[1:], atoms[2:], strict=False):
        if a.kind == b.kind == c.kind == "number" and len(a.text) <= 2 and len(b.text) <= 2:
            gap = text[a.end : b.start]
            if gap in ("/", ".", "-") and gap == text[b.end : c.start] and len(c.text) in (2, 4):
                day_first |= int(a.text) > 12
                month_first |= int(b.text) > 12
    return day_first and not month_first
