"""A CV's text → segments, and the experiences among them with their months. Ours.

Real CVs come glued and flattened: `Work HistoryStaff Engineer,08/2016toCurrentLockheed`. Headings
part the text into sections; in a section that may hold experiences each date range begins one, and
an experience reaches from its header to the next one's.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import lru_cache

from jdcv_core.readable_text import readable
from research.experience.connectors import EACH
from research.experience.date_range import DateRange
from research.experience.dates import read_dates
from research.experience.headings import Section, sections_of
from research.experience.job_dates import experiences_among
from research.experience.languages import BETWEEN, SINCE
from research.experience.original_offsets import moved
from research.experience.parsed_cv import Experience, ParsedCV, Segment
from research.experience.reference import newest_month
from research.experience.stated import stated_durations
from research.experience.unread import MOST_UNREAD, line_of, unread_dates


def parse_cv(text: str, reference: int | None = None) -> ParsedCV:
    """Read a CV.

    reference: the month after which no experience can have begun; None: the newest month that the
               text itself names, so that the result does not depend on the clock

    The segments cover text[0:len(text)] in order. A CV without a dated experience has none, a note
    says so, and `experience_chunking` then cuts it as any other document. What looks like the date
    of an experience and was not read is in `unread`. It raises no error, whatever the text. The
    last READ_LATELY texts are kept, so that a command reads a CV once.
    """
    parsed = _read(text)
    return parsed if reference in (None, parsed.reference) else parsed.at(reference)


READ_LATELY = 4096


@lru_cache(READ_LATELY)
def _read(text: str) -> ParsedCV:
    repaired = readable(text)
    return moved(_read_repaired(repaired.text), repaired, text)


def _read_repaired(text: str) -> ParsedCV:
    dates = read_dates(text)
    sections, headed = sections_of(text)
    chosen, tried = experiences_among(text, dates.ranges, sections)
    experiences = _experiences(text, chosen, sections)
    segments = _segments(len(text), sections, experiences)
    unread = unread_dates(text, dates, chosen, sections)
    stated = tuple(stated_durations(text))
    skipped = tuple(
        f"the text is longer than any CV: after line {line_of(text, to)} {what} are not read"
        for what, to in (("dates", dates.read), ("headings", headed), ("experiences", tried))
        if to < len(text)
    )
    if len(unread) == MOST_UNREAD:
        skipped += (f"after line {unread[-1].line} dates that are unread are not listed",)
    parsed = ParsedCV(segments, tuple(experiences), stated, 0, unread, skipped)
    return parsed.at(newest_month(dates.ranges))


def _experiences(
    text: str, chosen: Sequence[DateRange], sections: Sequence[Section]
) -> list[Experience]:
    """The experiences in order of appearance."""
    found = []
    starts, at, section, dates_first = [], 0, -1, False
    for place, dates in enumerate(chosen):
        while at + 1 < len(sections) and sections[at + 1].start <= dates.at:
            at += 1
        if at != section:  # `01/2013toPresentEngineer` after the heading: so are the others
            section, dates_first = at, dates.at - sections[at].body < 4
        floor = max(sections[at].body, chosen[place - 1].to if place else 0)
        starts.append(dates.at if dates_first else _header_start(text, floor, dates.at))
    breaks = [s.start for s in sections]
    for place, dates in enumerate(chosen):
        end = starts[place + 1] if place + 1 < len(chosen) else len(text)
        end = min([end, *breaks[bisect_left(breaks, dates.to) :][:1]])
        header_end = _header_end(text, dates.to, end, starts[place] == dates.at)
        title, employer = _title_and_employer(text, starts[place], dates, header_end)
        written = text[dates.at : dates.to]
        found.append(Experience(title, employer, dates, starts[place], end, header_end, written))
    return found


_BREAK = re.compile(r"\n|\t| {2,}|[.!?;] |(?<=[a-zà-ÿ)\].])(?=[A-Z])|[•|▪●■]")


_PREFIX = re.compile(
    rf"(?:(?<![^\W\d_])(?i:from|von|dates?|period|circa|ca?\.|fy|ay|mid|early|"
    rf"late|end(?: of)?|xx/|{BETWEEN})|(?i:{SINCE}))"
    r"\s{0,2}[:-]?\s{0,2}$"
)


def _before_dates(header: str) -> str:
    """A header up to its dates, without a word that belongs to them: since, from, between."""
    m = EACH.search(header) or _PREFIX.search(header, max(0, len(header) - 20))
    return header if m is None else header[: m.start()]


def _header_start(text: str, floor: int, at: int) -> int:
    """Where the title before a date begins: after the last break, 120 characters back at most."""
    start = max(floor, at - 120)
    stem = _before_dates(text[start:at])
    if re.search(r"[.!?]\s*$", stem[-8:]):
        return at
    stem = stem.rstrip(" ,(-–—|:\n")
    last = 0
    for m in _BREAK.finditer(stem):
        if len(stem) - m.end() >= 3:
            last = m.end()
    return start + last if last or start == floor else at


_TO_TITLE = re.compile(r"[ \t]*(?:\n[ \t]*)?")


def _header_end(text: str, to: int, end: int, title_follows: bool) -> int:
    """Where the line with the date ends, 100 characters on at most.

    title_follows: nothing stands before the date; if nothing stands after it on its line either,
                   the title is the next line
    """
    gap = _TO_TITLE.match(text, to, end) if title_follows else None
    start = to if gap is None else gap.end()
    line = re.search(r"\n| {2,}|[.;] ", text[start : min(end, to + 100)])
    return start + line.start() if line else max(start, min(end, to + 100))


def _title_and_employer(
    text: str, start: int, dates: DateRange, header_end: int
) -> tuple[str, str]:
    """What stands before the dates, and after them; if nothing stands before, the title follows."""
    strip = " ,(-–—|:;)\n\t•▪●■.*"
    before = _before_dates(text[start : dates.at]).strip(strip)
    after = text[dates.to : header_end].strip(strip)
    if not before:
        return after[:80].strip(), ""
    return re.sub(r"\s+", " ", before), re.split(r"[,–|\n(]| - ", after)[0].strip()[:60]


def _segments(
    length: int, sections: Sequence[Section], experiences: Sequence[Experience]
) -> tuple[Segment, ...]:
    """Sections cut at the experiences; together they cover [0, length)."""
    parts: list[Segment] = []
    position, place = 0, 0
    for section in sections:
        while position < section.end:
            while place < len(experiences) and experiences[place].end <= position:
                place += 1
            ahead = experiences[place] if place < len(experiences) else None
            if ahead is not None and ahead.start <= position:
                end = min(ahead.end, section.end)
                parts.append(Segment("experience", position, end, place))
            else:
                end = section.end if ahead is None else min(section.end, ahead.start)
                parts.append(Segment(section.kind, position, end))
            position = end
    return tuple(_joined(parts)) or (Segment("summary", 0, length),)


def _joined(parts: Iterable[Segment]) -> list[Segment]:
    """Neighbours of one kind and experience as one."""
    joined: list[Segment] = []
    for part in parts:
        last = joined[-1] if joined else None
        if last and (last.kind, last.experience, last.end) == (
            part.kind,
            part.experience,
            part.start,
        ):
            joined[-1] = replace(last, end=part.end)
        else:
            joined.append(part)
    return joined
