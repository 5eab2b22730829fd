"""Text → date ranges, as people write them in CVs, glued and garbled. Ours.

Three steps, each one pass over the text: `atoms` finds numbers and words of dates, `points` reads
one date, and this module joins dates:

    range = point connector (point | present) | between point and point | since point
            | point onwards | point dash | academic year connector academic year
    list  = season year (, | and | / …) (season year | year) …

A dash that was lost on the way (`2002  2005`, `20132015`, `2015 ? 2016`) is read as one. What can
be read in two ways is read in the likelier one and says so in `doubts`. A time of which a part is
masked (`03/20XX - 05/2015`) has no months; one in a language that is not read is no time.
"""

from __future__ import annotations

import re

from jdcv_core.months import month_of
from research.experience.academic_years import academic_years
from research.experience.atoms import atoms_of, plain_signs
from research.experience.connectors import (
    AND_BETWEEN,
    BEFORE_BOTH,
    CONNECTOR,
    LOST,
    OPEN_DASH,
    SINCE_BEFORE,
)
from research.experience.date_lists import date_list
from research.experience.date_range import AtomText, DateRange, Dates, Read
from research.experience.languages import NEEDS_A_CONNECTOR
from research.experience.month_intervals import LAST_YEAR
from research.experience.points import (
    Point,
    counted,
    with_year_of,
    writes_day_first,
)
from research.experience.unknown_dates import is_in_part, masked_range


def date_ranges(text: str) -> list[DateRange]:
    """Every date and range of dates in the text, in order, none overlapping another.

    Whether one is the time of an experience is for `parsing` to say.

    >>> [(r.start % 12 + 1, r.start // 12, r.current) for r in date_ranges("05/2014toCurrent")]
    [(5, 2014, True)]
    """
    return read_dates(text).ranges


def read_dates(text: str) -> Dates:
    """What `date_ranges` returns, with all that it was read from."""
    text = plain_signs(text)
    atoms, read = atoms_of(text)
    masks = any(atom.kind == "masked" for atom in atoms)
    own = AtomText(text, atoms, writes_day_first(text, atoms), masks)
    found: list[DateRange] = []
    i = 0
    while i < len(atoms):
        time = _time(own, i)
        if time is None:
            i += 1
        else:
            if time[0].unknown or not is_in_part(own, i, time[1]):
                found.append(time[0])
            i = time[1]
    return Dates(found, atoms, read)


def _time(own: AtomText, i: int) -> Read | None:
    """The time that begins at atom i."""
    glued = _glued_years(own, i)
    if glued is not None:
        return glued, i + 1
    read = masked_range(own, i) or academic_years(own, i) or date_list(own, i)
    if read is not None:
        return read
    first = own.point(i)
    if first is None:
        return None
    point, j = first
    ended = _ended(own, point, j)
    if ended is not None:
        return ended
    if point.weak or point.unit == "bare":
        return None
    return _alone(own, point, j)


def _alone(own: AtomText, point: Point, j: int) -> Read:
    """A date without another one: since, onwards, an open dash, or a point."""
    gap = own.gap(point.to, j)
    if gap is not None and own.atoms[j].kind == "onwards" and gap.strip() in ("", "and", "から"):
        return DateRange(point.at, own.atoms[j].end, point.start, None, "since", point.unit), j + 1
    if SINCE_BEFORE.search(own.text, max(0, point.at - 18), point.at):
        return DateRange(point.at, point.to, point.start, None, "since", point.unit), j
    doubts = point.doubts
    if _ends_in_a_dash(own, point, j):
        doubts = (*doubts, "its end is not written")
        return DateRange(point.at, point.to, point.start, None, "since", point.unit, doubts), j
    return DateRange(point.at, point.to, point.start, point.end, "point", point.unit, doubts), j


def _ended(own: AtomText, first: Point, j: int) -> Read | None:
    """The range from `first` to what begins at atom j, if a connector stands between them."""
    gap = own.gap(first.to, j)
    if gap is None:
        return None
    connected = CONNECTOR.fullmatch(gap) is not None or (
        AND_BETWEEN.fullmatch(gap) is not None
        and BEFORE_BOTH.search(own.text, max(0, first.at - 16), first.at) is not None
    )
    lost = not connected and LOST.fullmatch(gap) is not None
    atom = own.atoms[j]
    if atom.kind == "open":
        bare = not gap.strip() and atom.text not in NEEDS_A_CONNECTOR
        if not (connected or lost or bare) or first.unit == "bare":
            return None
        unit, doubts = first.unit, first.doubts
        return DateRange(first.at, atom.end, first.start, None, "range", unit, doubts), j + 1
    slash = gap == "/" and first.unit == "year"  # 2015/2016, an academic year
    one_space = gap == " " and first.unit == "year"
    if not (connected or lost or slash or one_space):
        return None
    iso = first.unit == "month" and own.text[first.at : first.at + 4].isdigit()
    read = _short_year(own, first, j, gap) or own.point(j, iso)
    if read is None:
        return None
    last, next_ = read
    if first.unit == "bare":
        if last.unit not in ("month", "season"):
            return None
        first = with_year_of(first, last)
    if last.unit == "bare" or (not connected and not _same_kind(first, last)):
        return None
    if slash and last.start - first.start != 12:
        return None  # Windows 2000/2003
    if (one_space or slash) and own.version(first.at):
        return None
    end = last.end if last.start == first.start else last.start
    unit = max(first.unit, last.unit, key=("month", "season", "year").index)
    doubts = (*first.doubts, *last.doubts)
    return DateRange(first.at, last.to, first.start, end, "range", unit, doubts), next_


def _ends_in_a_dash(own: AtomText, point: Point, j: int) -> bool:
    """Whether a dash stands after the point, and then a break that no date follows."""
    dash = OPEN_DASH.match(own.text, point.to)
    if dash is None or own.version(point.at):
        return False
    if j >= len(own.atoms):
        return True
    after = own.text[dash.end() : min(own.atoms[j].start, dash.end() + 200)]
    return after.strip() != ""


def _same_kind(first: Point, last: Point) -> bool:
    """Whether two points without a connector may be a range whose dash was lost."""
    alike = (first.unit, first.weak) == (last.unit, last.weak)
    return alike and last.start >= first.start


def _short_year(own: AtomText, first: Point, j: int, gap: str) -> tuple[Point, int] | None:
    """The end of 2011-13: a year of two digits after a year and a dash."""
    atom = own.atoms[j]
    if first.unit != "year" or atom.kind != "number" or len(atom.text) != 2:
        return None
    after = own.text[atom.end : atom.end + 2]
    if "\n" in gap or len(gap) > 3 or re.match(r"[/.\-]\d", after):
        return None
    if j + 1 < len(own.atoms) and own.atoms[j + 1].kind == "month":
        return None
    year = first.start // 12 // 100 * 100 + int(atom.text)
    if year < first.start // 12:
        year += 100
    if year - first.start // 12 > 60 or year > LAST_YEAR:
        return None
    doubts = ("it might be a year and a month",) if 1 <= int(atom.text) <= 12 else ()
    start = month_of(year, 1)
    return Point(start, start + 12, atom.start, atom.end, "year", doubts), j + 1


def _glued_years(own: AtomText, i: int) -> DateRange | None:
    """20132015: two years whose dash was lost."""
    atom = own.atoms[i]
    if atom.kind != "number" or len(atom.text) != 8 or counted(own.text, atom):
        return None
    first, last = int(atom.text[:4]), int(atom.text[4:])
    if not (1950 <= first <= last <= 2049):
        return None
    start, end = month_of(first, 1), month_of(last + (first == last), 1)
    doubts = ("two years without a sign between them",)
    return DateRange(atom.start, atom.end, start, end, "range", "year", doubts)
