"""What was read of a repaired text, at the offsets of the text itself. Ours."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from jdcv_core.readable_text import Readable

if TYPE_CHECKING:
    from research.experience.date_range import DateRange
    from research.experience.parsed_cv import Experience, ParsedCV, Unread


def moved(parsed: ParsedCV, repaired: Readable, text: str) -> ParsedCV:
    """The same CV with every offset in the original text.

    parsed:   what was read of repaired.text
    repaired: `readable(text)`

    The segments cover the original text, and `written` is what stands there.
    """
    if repaired.text is text:
        return parsed

    def place(at: int) -> int:
        return repaired.span(at, at)[0]

    def dates(own: DateRange) -> DateRange:
        return replace(own, at=place(own.at), to=place(own.to))

    def experience(own: Experience) -> Experience:
        return replace(
            own,
            dates=dates(own.dates),
            start=place(own.start),
            end=place(own.end),
            header_end=place(own.header_end),
            written=text[place(own.dates.at) : place(own.dates.to)],
        )

    def unread(own: Unread) -> Unread:
        at, to = place(own.at), place(own.to)
        return replace(own, text=text[at:to], at=at, to=to)

    segments = [replace(s, start=place(s.start), end=place(s.end)) for s in parsed.segments]
    segments[0] = replace(segments[0], start=0)  # what vanished at the start belongs to it
    return replace(
        parsed,
        segments=tuple(segments),
        experiences=tuple(map(experience, parsed.experiences)),
        stated=tuple(replace(s, at=place(s.at), to=place(s.to)) for s in parsed.stated),
        unread=tuple(map(unread, parsed.unread)),
    )
