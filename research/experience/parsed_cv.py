"""What is read of a CV: segments, experiences, and what was not read. Ours."""

from __future__ import annotations

from dataclasses import dataclass, replace

from jdcv_core.months import as_text
from research.experience.date_range import DateRange
from research.experience.month_intervals import AHEAD, Interval, fault, total_months
from research.experience.stated import StatedDuration


@dataclass(frozen=True)
class Segment:
    """A part of a document: text[start:end]. kind: one of KINDS.

    experience: its place among the CV's experiences, or None
    """

    kind: str
    start: int
    end: int
    experience: int | None = None


@dataclass(frozen=True)
class Experience:
    """One job as the CV describes it.

    title:    its title line, without the dates
    employer: where the text makes it plain, else ""
    dates:    what the written dates mean; written: the characters themselves
    start, end: the segment's characters; header_end: where the header ends
    fault:    why its months cannot be right ("" if they can); such a one has no weight
    """

    title: str
    employer: str
    dates: DateRange
    start: int
    end: int
    header_end: int
    written: str
    fault: str = ""

    def interval(self, reference: int) -> Interval:
        """From its first month to its last: a current one lasts to the reference month, and a
        contract that ends later, too; for at least one month."""
        start, end = self.dates.start, self.dates.end
        if end is None or self.in_progress(reference):
            return Interval(start, max(reference, start + 1))
        return Interval(start, end)

    def intervals(self, reference: int) -> list[Interval]:
        """Its months: `interval`, or each part of a list such as `Summers 2015 & 2016`."""
        parts = [Interval(start, end) for start, end in self.dates.parts]
        return parts or [self.interval(reference)]

    def months(self, reference: int) -> int:
        """How many months it lasted; 0 if its dates are reversed."""
        return total_months(self.intervals(reference))

    def in_progress(self, reference: int) -> bool:
        """Whether it is a contract that ends after the reference month."""
        end = self.dates.end
        if self.fault:
            return False
        return self.dates.kind == "range" and end is not None and end > reference

    def at(self, reference: int) -> Experience:
        """The same experience with the fault that it has at a reference month."""
        dates = self.dates
        if dates.unknown:
            return replace(self, fault=dates.unknown)
        end = dates.start if dates.end is None else dates.end
        return replace(self, fault=fault(dates.start, end, reference))


@dataclass(frozen=True)
class Unread:
    """Characters [at, to) that look like a date of an experience and that no experience uses.

    line: its number, from 1; why: what is known of the reason, or ""
    """

    text: str
    at: int
    to: int
    line: int
    why: str = ""

    def __str__(self) -> str:
        return f'unread: "{self.text}" (line {self.line})' + (f": {self.why}" if self.why else "")


@dataclass(frozen=True)
class ParsedCV:
    """What was read of a CV.

    segments:    cover the text in order
    experiences: in order of appearance
    stated:      durations that the text states in words
    reference:   the month that "current" means
    unread:      what looks like a date of an experience and was not read as one
    skipped:     a sentence on each part of the text that was not read, because it is too long
    newer_than:  the reference month that was asked for, where the CV is newer; see `seen_from`
    """

    segments: tuple[Segment, ...]
    experiences: tuple[Experience, ...]
    stated: tuple[StatedDuration, ...]
    reference: int
    unread: tuple[Unread, ...] = ()
    skipped: tuple[str, ...] = ()
    newer_than: int | None = None

    @property
    def faults(self) -> tuple[str, ...]:
        """A sentence on each thing that makes the months of the CV incomplete or uncertain: dates
        that cannot be right, dates that were not read, and a CV that is newer than the reference.
        """
        found = [f"{_where(e)}: {e.fault}; it has no weight" for e in self.experiences if e.fault]
        found += [str(unread) for unread in self.unread]
        if self.newer_than is not None:
            found.append(
                f"the CV is newer than the reference {as_text(self.newer_than)}: "
                f"its months count to {as_text(self.reference)}, when its newest job began"
            )
        return (*found, *self.skipped)

    @property
    def notes(self) -> tuple[str, ...]:
        """A sentence on each date that is doubtful, and the `faults`."""
        found = []
        for e in self.experiences:
            found += [f"{_where(e)}: {doubt}" for doubt in e.dates.doubts]
            if e.fault:
                continue
            if e.in_progress(self.reference):
                month = as_text(self.reference)
                found.append(f"{_where(e)}: a contract in progress; its months count to {month}")
            if e.dates.current and e.dates.start == self.reference:
                found.append(
                    f"{_where(e)}: it begins in the reference month {as_text(self.reference)} and "
                    "counts 1 month; give a later reference if the CV is read later"
                )
        found += self.faults
        if not self.experiences:
            known = self.unread or self.skipped
            found.append(
                ("no dated experience was read" if known else "no dated experience was found")
                + ": the text is cut into plain chunks of weight 1"
            )
        return tuple(found)

    def at(self, reference: int) -> ParsedCV:
        """The same CV, with another month for "current"; the text is not read again."""
        experiences = tuple(e.at(reference) for e in self.experiences)
        return replace(self, experiences=experiences, reference=reference, newer_than=None)

    def seen_from(self, reference: int) -> ParsedCV:
        """The CV for a model that knows the reference month of its training data.

        A current job that began after that month, by AHEAD months at most, shows that the CV is
        newer than the model. Then the CV's months count to the newest such start: f needs durations
        and recencies, and they are those of the CV's own present, not of the model's. `faults` says
        so. Otherwise the same as `at`.
        """
        starts = [e.dates.start for e in self.experiences if e.dates.current]
        newer = max((m for m in starts if reference < m <= reference + AHEAD), default=None)
        return (
            self.at(reference) if newer is None else replace(self.at(newer), newer_than=reference)
        )

    @property
    def total_months(self) -> int:
        """Months on the calendar that at least one experience covers."""
        good = (e for e in self.experiences if not e.fault)
        return total_months(i for e in good for i in e.intervals(self.reference))


def _where(e: Experience) -> str:
    return f"'{e.written}' at character {e.dates.at}"
