"""Seasons and months in a list, one time of several parts: `Summers 2015 & 2016`. Ours."""

from __future__ import annotations

from jdcv_core.months import month_of
from research.experience.connectors import (
    CONNECTOR,
    EACH,
    LISTED,
)
from research.experience.date_range import AtomText, DateRange, Read
from research.experience.languages import PLURAL
from research.experience.points import (
    Point,
    century,
    short_year_at,
    with_year_of,
    year_at,
)


def date_list(own: AtomText, i: int) -> Read | None:
    """`Summer 2013, 2014`, `Fall 2018 and Spring 2019`, `Summers 2013-2015`, `June & July 2014`."""
    if own.atoms[i].kind not in ("season", "month"):
        return None
    items: list[Point] = []
    parts: list[tuple[int, int]] = []
    next_ = i
    plural = EACH.search(own.text, max(0, own.atoms[i].start - 9), own.atoms[i].start) is not None
    while next_ < len(own.atoms):
        if items:
            gap = own.gap(items[-1].to, next_)
            years = plural and items[-1].unit != "bare" and gap and CONNECTOR.fullmatch(gap)
            if gap is None or not (years or LISTED.fullmatch(gap)):
                break
        else:
            years = None
        read = _listed_item(own, next_, items, bool(years))
        if read is None:
            break
        plural = plural or own.atoms[next_].text in PLURAL
        item, after = read
        if years:  # each summer from the one year to the other
            last = items[-1]
            if item.start <= last.start or item.start - last.start > 600:
                break
            parts += [
                (m, m + item.end - item.start) for m in range(last.start + 12, item.start, 12)
            ]
        items.append(item)
        if item.unit != "bare":
            parts.append((item.start, item.end))
        next_ = after
    gap = own.gap(items[-1].to, next_) if items else None
    if gap is not None and CONNECTOR.fullmatch(gap):
        return None  # Jan/Feb 2015 - Mar 2016
    return _list_of(items, parts, next_)


def _listed_item(
    own: AtomText, j: int, items: list[Point], short: bool
) -> tuple[Point, int] | None:
    """A season or month, with a year or without; or a year that belongs to the one before it."""
    if own.atoms[j].kind in ("season", "month"):
        read = own.point(j)
        return None if read is None or read[0].weak or read[0].unit == "year" else read
    if not items or items[-1].unit == "bare":
        return None
    year = year_at(own.text, own.atoms, j) or short_year_at(own.text, own.atoms, j)
    last, atom = items[-1], own.atoms[j]
    if year is None and short and atom.kind == "number" and len(atom.text) == 2:
        year = century(int(atom.text))  # Summers 2013-15
    if year is None:
        return None
    start = month_of(year, last.start % 12 + 1)
    months = last.end - last.start
    return Point(start, start + months, atom.start, atom.end, last.unit), j + 1


def _list_of(items: list[Point], parts: list[tuple[int, int]], next_: int) -> Read | None:
    """The list as one time; None unless it is one: two items, and a season or a shared year."""
    if len(items) < 2 or items[-1].unit == "bare":
        return None
    shared = any(item.unit == "bare" for item in items)
    written = {item.at for item in items}
    if len(written) < 2 or not (shared or any(item.unit == "season" for item in items)):
        return None
    later = items[-1]
    for item in reversed(items):
        if item.unit == "bare":
            later = with_year_of(item, later)
            parts.append((later.start, later.end))
        else:
            later = item
    parts.sort()
    unit = "season" if any(end - start == 3 for start, end in parts) else "month"
    end = max(end for _, end in parts)
    at, to = items[0].at, items[-1].to
    return DateRange(at, to, parts[0][0], end, "list", unit, (), tuple(parts)), next_
