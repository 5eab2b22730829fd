"""Time spans as half-open intervals [start, end) of months (`jdcv_core.months`). Ours."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from jdcv_core.months import as_text, month_of

FIRST_YEAR, LAST_YEAR = 1900, 2100
"""What lies outside is no year of a career; LAST_YEAR itself is allowed."""
AHEAD = 60
"""Months after the reference in which a date can be meant: a fixed term is seldom longer than five
years, and a date further ahead is a typing error."""


@dataclass(frozen=True, order=True)
class Interval:
    """[start, end) in months; `end` is the first month that no longer belongs to it.

    >>> Interval(month_of(2014, 8), month_of(2015, 5)).months
    9
    """

    start: int
    end: int

    @property
    def months(self) -> int:
        return max(0, self.end - self.start)


def union(intervals: Iterable[Interval]) -> list[Interval]:
    """The same months as disjoint intervals with gaps between them, in order; empty ones vanish.

    So two jobs at once count once: the sum over the union is time on the calendar, never more.

    >>> union([Interval(5, 9), Interval(0, 3), Interval(3, 6)])
    [Interval(start=0, end=9)]
    """
    merged: list[Interval] = []
    for interval in sorted(i for i in intervals if i.months):
        if merged and interval.start <= merged[-1].end:
            last = merged.pop()
            interval = Interval(last.start, max(last.end, interval.end))
        merged.append(interval)
    return merged


def total_months(intervals: Iterable[Interval]) -> int:
    """Months on the calendar that at least one of them covers."""
    return sum(i.months for i in union(intervals))


def fault(start: int, end: int, reference: int) -> str:
    """Why [start, end) cannot be the time of an experience known at `reference`; "" if it can.

    A range may end in the AHEAD months after the reference (a contract in progress), but it cannot
    begin there.
    """
    if end < start:
        return "reversed: it ends before it begins"
    if start < month_of(FIRST_YEAR, 1) or end > month_of(LAST_YEAR + 1, 1):
        return f"impossible: outside {FIRST_YEAR} to {LAST_YEAR}"
    if start > reference:
        return f"future: it begins after {as_text(reference)}"
    if end > reference + AHEAD:
        years = AHEAD // 12
        return f"future: it ends more than {years} years after {as_text(reference)}, a typing error"
    return ""
