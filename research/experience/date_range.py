"""A time as written in a text, and a text with its atoms. Ours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from research.experience.atoms import Atom
from research.experience.connectors import LONGEST, NOT_A_YEAR
from research.experience.points import Point, point_at


@dataclass(frozen=True)
class DateRange:
    """A time as written at [at, to) in the text.

    start: its first month
    end:   the first month after it, or None while it lasts ("current"). An end that is written as
           a month or year is where the time ends: 08/2014-05/2015 are 9 months and 2012-2014 are
           24. A range within one month or year, and a point alone, cover that unit
    kind:  range, since, point, or list
    unit:  month, season or year: the coarser of what start and end are written in
    doubts: in which other way it could be read
    parts: of a list (`Summers 2015 & 2016`), the months [start, end) of each part, in order of time
    unknown: why its months cannot be known; "" if they can. Then start and end are 0
    """

    at: int
    to: int
    start: int
    end: int | None
    kind: str
    unit: str = "month"
    doubts: tuple[str, ...] = ()
    parts: tuple[tuple[int, int], ...] = ()
    unknown: str = ""

    @property
    def current(self) -> bool:
        return self.end is None


class Dates(NamedTuple):
    """The dates of a text, its atoms, and up to which character it was read (`MOST_ATOMS`)."""

    ranges: list[DateRange]
    atoms: list[Atom]
    read: int


Read = tuple[DateRange, int]
"""A time, and the number of the atom after it."""


@dataclass(frozen=True)
class AtomText:
    """A text with its atoms, whether it writes days before months, and whether years are masked."""

    text: str
    atoms: list[Atom]
    day_first: bool
    masks: bool

    def gap(self, start: int, j: int) -> str | None:
        """What stands between character `start` and atom j; None if it is too much."""
        if j >= len(self.atoms) or self.atoms[j].start - start > LONGEST:
            return None
        return self.text[start : self.atoms[j].start]

    def point(self, j: int, iso: bool = False) -> tuple[Point, int] | None:
        return point_at(self.text, self.atoms, j, self.day_first, iso)

    def version(self, at: int) -> bool:
        """Whether a word before it makes a year a version."""
        return NOT_A_YEAR.search(self.text, max(0, at - 14), at) is not None
