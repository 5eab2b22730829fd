"""The month that "current" means. Ours."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from jdcv_core.months import month_of
from research.experience.date_range import DateRange

if TYPE_CHECKING:
    from research.experience.parsed_cv import ParsedCV


def newest_month(ranges: Iterable[DateRange]) -> int:
    """The newest month that a range, a "since" or a point names; 0 if there is none.

    A point or an end that is a year alone counts as its first month: 2023 may be January.
    Years after 2050 are misprints and do not count.
    """
    latest = 0
    for found in ranges:
        if found.parts:
            last = found.parts[-1][0]
        else:
            last = found.start if found.end is None or found.kind == "point" else found.end
        if last < month_of(2051, 1):
            latest = max(latest, last)
    return latest


def reference_for_a_person(parsed: ParsedCV, today: int) -> tuple[int, str]:
    """The month that "current" means to a person who looks at one CV; and why, in a few words.

    parsed: read without a reference; today: this month

    Today, where a job is current or a contract ends later: the newest date of such a CV is often
    the start of the current job, which would then have lasted one month. Else the newest date in
    the CV, so that the same file gives the same figures next year.
    """
    newest = newest_month(e.dates for e in parsed.experiences if not e.dates.unknown)
    current = any(e.dates.current for e in parsed.experiences)
    if current or not newest or newest > today:
        return today, "today"
    return newest, "newest date in the CV"


def reference_month(parsed: Iterable[ParsedCV]) -> int:
    """The newest month that any experience of a corpus begins or ends in: what "current" means.

    It is never today, so that figures do not change with the clock. A year that lies more than a
    year after what 99% of the CVs name is taken for a misprint or a plan. 0 without a date.
    """
    ranges = ([e.dates for e in p.experiences if e.dates.kind != "point"] for p in parsed)
    newest = sorted(m for m in map(newest_month, ranges) if m)
    if not newest:
        return 0
    usual = newest[int(0.99 * (len(newest) - 1))]
    return max(m for m in newest if m <= usual + 12)
