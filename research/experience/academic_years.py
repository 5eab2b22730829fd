"""Ranges of academic years: `2016/17 - 2018/19`. Ours."""

from __future__ import annotations

from jdcv_core.months import month_of
from research.experience.connectors import (
    CONNECTOR,
)
from research.experience.date_range import AtomText, DateRange, Read
from research.experience.points import (
    Point,
    is_next_year,
    year_at,
)


def academic_years(own: AtomText, i: int) -> Read | None:
    """2016/17 - 2018/19: from the first year of one academic year to the last of another."""
    first = _academic_year(own, i)
    if first is None:
        return None
    gap = own.gap(first.to, i + 2)
    if gap is None or not CONNECTOR.fullmatch(gap):
        return None
    if own.atoms[i + 2].kind == "open" and not _may_be_a_month(own, first):
        to = own.atoms[i + 2].end
        return DateRange(first.at, to, first.start, None, "range", "year"), i + 3
    last = _academic_year(own, i + 2)
    if all(_may_be_a_month(own, end) for end in (first, last) if end is not None):
        return None
    if last is not None:
        return DateRange(first.at, last.to, first.start, last.end - 12, "range", "year"), i + 4
    year = own.point(i + 2)
    if year is None or year[0].unit == "bare" or "-" in own.text[first.at : first.to]:
        return None
    return DateRange(first.at, year[0].to, first.start, year[0].start, "range", "year"), year[1]


def _may_be_a_month(own: AtomText, academic: Point) -> bool:
    """Whether 2007-08 may be August 2007: an academic year after 2012 cannot."""
    written = own.text[academic.at : academic.to]
    return written[4] == "-" and len(written) == 7 and int(written[5:]) <= 12


def _academic_year(own: AtomText, i: int) -> Point | None:
    """2016/17, 2016/2017, 2016-17: two years that follow each other."""
    year = year_at(own.text, own.atoms, i)
    if year is None:
        return None
    if not is_next_year(own.text, own.atoms, i, year) or own.version(own.atoms[i].start):
        return None
    start = month_of(year, 1)
    return Point(start, start + 24, own.atoms[i].start, own.atoms[i + 1].end, "year")
