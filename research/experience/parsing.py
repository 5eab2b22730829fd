"""A CV's text → segments, and the experiences among them with their months. Ours.

Real CVs come glued and flattened: `Work HistoryStaff Engineer,08/2016toCurrentLockheed`. Headings
part the text into sections; in a section that may hold experiences each date range begins one, and
an experience reaches from its header to the next one's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice

from jdcv_core.months import month_of
from jdcv_core.readable_text import readable
from research.experience.dates import DateRange, date_ranges
from research.experience.month_intervals import Interval, fault, total_months
from research.experience.original_offsets import moved

KINDS = ("summary", "experience", "education", "skills", "other")
"""What a segment may be."""

HEADINGS = {
    "experience": (
        "experiences?|employment history|employment|employment record|work history|job history|"
        "career history|career summary|professional background|professional history|career|"
        "internships?|appointments|positions held|work summary|responsibilities held|"
        "project details|projects|work undertaken|background|"
        "expériences? professionnelles?|expériences?|parcours professionnel|"
        "experiencia laboral|experiencia profesional|experiencia|"
        "berufserfahrung|beruflicher werdegang|berufspraxis|"
        "experiență profesională|experienta profesionala|experiență|experienta"
    ),
    "education": (
        "education and training|education|educational background|academic background|degrees|"
        "academic qualifications?|educational qualifications?|education summary|academics|"
        "academic profile|academic projects?|academic details|academic credentials|scholastics?|"
        "formations?|études|diplômes|educación|formación|formación académica|estudios|"
        "ausbildung|studium|schulbildung|bildungsweg|educație|educatie|studii|formare"
    ),
    "skills": (
        "skills?|keywords|core qualifications|highlights|competencies|areas of expertise|"
        "technical expertise|proficiency|proficiencies|skill sets?|capabilities|technologies|"
        "skills & tools|strengths|"
        "compétences|habilidades|competencias|kenntnisse|fähigkeiten|competențe|competente"
    ),
    "summary": (
        "summary|summary of qualifications|profile|objective|overview|about me|career focus|"
        "profil|resumen|perfil|zusammenfassung|rezumat"
    ),
    "other": (
        "awards|honou?rs|awards and honou?rs|awards received|recognitions?|certifications?|"
        "certificates?|publications?|"
        "languages?|interests|topics of interest|currently reading|currently reading about|hobbies|"
        "courses attended|references?|additional information|personal information|"
        "information|personal details|personal profile|affiliations|accomplishments|"
        "activities|involvement|memberships?|memberships and affiliations|organizations|"
        "presentations?|trainings?|courses?|coursework|volunteer work|volunteering|volunteerism|"
        "patents|grants|licenses?|licensure|declaration|personal data|conferences|committees|"
        "scholarships?|fellowships?|community service|professional service|service|research|"
        "professional development|seminars|workshops|portfolio|"
        "langues|centres d'intérêt|loisirs|idiomas|intereses|sprachen|interessen|limbi străine"
    ),
}
"""Words of headings, as alternatives of a regular expression, by the kind of section they open."""

QUALIFIERS = (
    "work|working|professional|relevant|related|teaching|research|industry|additional|other|"
    "leadership|academic|clinical|volunteer|project|technical|key|core|computer|it|career|"
    "executive|legal|non|practical|previous|prior|current|recent|selected|military|"
    "extracurricular|community|personal|university|administrative|managerial|supervisory|"
    "consulting|international|business|employment|graduate|language|field|student|college|"
    "scholarly|social|campus|honorary|editorial|conference|job|special|major|significant|"
    "educational|internship|coaching|counseling|sales|management|software|engineering|paralegal|special|relevant|computing"
)
"""Words that may stand before such a word, three at most."""
_QUALIFIER = rf"(?:(?:{QUALIFIERS})(?:\s(?:and|&|/)\s|[\s/-]))"


def _spellings(word: str) -> tuple[str, ...]:
    """experiences? → experience, experiences; honou?rs → honors, honours."""
    if "?" not in word:
        return (word,)
    at = word.index("?")
    return (word[: at - 1] + word[at + 1 :], word[:at] + word[at + 1 :])


MOST_WORDS, MOST_SECTIONS, MOST_EXPERIENCES = 1500, 300, 200
"""As `dates.MOST_ATOMS`: of one text; the rest is read as part of the last one."""
_HEADING = re.compile(
    rf"(?i:{_QUALIFIER}{{0,3}})(?:"
    + "|".join(
        rf"(?P<{kind}>(?i:{'|'.join(sorted(words.split('|'), key=len, reverse=True))}))"
        for kind, words in HEADINGS.items()
    )
    + r")(?![a-zà-ÿ])"
)
"""Matches at a place; whether it is a heading is for `_is_heading` to say."""
_CAPITALISED = re.compile(r"[A-ZÀ-Þ](?:[a-zà-ÿ]+|[A-ZÀ-Þ]+)")
_NAMED = {
    spelling: kind
    for kind, words in HEADINGS.items()
    for word in words.split("|")
    for spelling in _spellings(word)
}
"""`Academic Background` is education by its whole name, and not "background" with a qualifier."""
_FIRST_WORDS = frozenset(
    word
    for line in (*HEADINGS.values(), QUALIFIERS)
    for words in line.split("|")
    for word in _spellings(words.split()[0].split("'")[0])
)
"""A heading begins with one of them; so most words of a text are passed over at once."""

_STUDIES = re.compile(
    r"\b[BM]\.\s?(?:S|A|Sc)\.|\b[BM]Sc\b|"
    r"(?i:universit|college\b|school\b|bachelor|master(?:s|'s)? (?:of|in|degree)|"
    r"\bmba\b|\bph\.?\s?d|degree|diploma|graduat|\bgpa\b|\bb\.?tech|\bm\.?tech|"
    r"expected in|dissertation|thesis|licence|baccalaur|abitur|\bexpected\b|coursework|\bcgpa\b)"
)
_JOB = re.compile(
    r"(?i:\bintern\b|trainee|engineer\b|assistant|manager|teacher|tutor|analyst|developer|director|"
    r"consultant|taught|lawyer|officer|clerk|secretary|nurse|technician|supervisor|\blead\b|"
    r"postdoc|scientist|duration|worker|treasurer|working|investigator|coordinator|specialist|"
    r"instructor|lecturer|employ)(?![sS]\b)"
)
"""A title is one person's: an association of social workers is none."""
_HONOUR = re.compile(
    r"(?i:\bawards?\b(?![ -]winning)|\bhonou?rs\b|\bhonorary\b|"
    r"\bhonou?r (?:roll|society)\b|\bscholarship)"
)
"""What one is given, and not what one does."""
_NO_EXPERIENCE = re.compile(
    r"(?i:born|date of birth|birth|\bdob\b|©|copyright|\(c\)|expected in|expected|graduat\w*|"
    r"updated|last update|valid|expires?|issued|né le|nacid|geboren|născut|class of)\W{0,3}$"
)


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
        """Its months; a current one lasts to the reference month, and for at least one."""
        end = self.dates.end
        return Interval(
            self.dates.start, max(reference, self.dates.start + 1) if end is None else end
        )


@dataclass(frozen=True)
class StatedDuration:
    """`6+ years of experience`: months that the CV states in words, at [at, to)."""

    at: int
    to: int
    months: int
    at_least: bool


@dataclass(frozen=True)
class ParsedCV:
    """What was read of a CV.

    segments:    cover the text in order
    experiences: in order of appearance
    stated:      durations that the text states in words
    reference:   the month that "current" means
    truncated:   whether the text was too long to be read to its end
    """

    segments: tuple[Segment, ...]
    experiences: tuple[Experience, ...]
    stated: tuple[StatedDuration, ...]
    reference: int
    truncated: bool = False

    @property
    def notes(self) -> tuple[str, ...]:
        """A sentence on each date that is doubtful or cannot be right, and on what was not read."""
        found = []
        for e in self.experiences:
            where = f"'{e.written}' at character {e.dates.at}"
            found += [f"{where}: {doubt}" for doubt in e.dates.doubts]
            if e.fault:
                found.append(f"{where}: {e.fault}; it has no weight")
        if self.truncated:
            found.append("the text is longer than any CV: its last part was not read")
        if not self.experiences:
            found.append(
                "no dated experience was found: the text is cut into plain chunks of weight 1"
            )
        return tuple(found)

    def at(self, reference: int) -> ParsedCV:
        """The same CV, with another month for "current"; the text is not read again."""
        experiences = tuple(replace(e, fault=_fault(e.dates, reference)) for e in self.experiences)
        return replace(self, experiences=experiences, reference=reference)

    @property
    def total_months(self) -> int:
        """Months on the calendar that at least one experience covers."""
        return total_months(e.interval(self.reference) for e in self.experiences if not e.fault)


def parse_cv(text: str, reference: int | None = None) -> ParsedCV:
    """Read a CV.

    reference: the month after which no experience can have begun; None: the newest month that the
               text itself names, so that the result does not depend on the clock

    The segments cover text[0:len(text)] in order. A CV without a dated experience has none, a note
    says so, and `experience_chunking` then cuts it as any other document. It raises no error,
    whatever the text. The last READ_LATELY texts are kept, so that a command reads a CV once.
    """
    parsed = _read(text)
    return parsed if reference in (None, parsed.reference) else parsed.at(reference)


READ_LATELY = 4096


@lru_cache(READ_LATELY)
def _read(text: str) -> ParsedCV:
    repaired = readable(text)
    return moved(_read_repaired(repaired.text), repaired, text)


def _read_repaired(text: str) -> ParsedCV:
    ranges = date_ranges(text)
    reference = newest_month(ranges)
    sections = _sections(text)
    chosen = _experiences_among(text, ranges, sections)
    experiences = _experiences(text, chosen, sections, reference)
    segments = _segments(len(text), sections, experiences)
    truncated = len(chosen) == MOST_EXPERIENCES or len(sections) > MOST_SECTIONS
    stated = tuple(stated_durations(text))
    return ParsedCV(segments, tuple(experiences), stated, reference, truncated)


def _fault(dates: DateRange, reference: int) -> str:
    return fault(dates.start, dates.start if dates.end is None else dates.end, reference)


def newest_month(ranges: Iterable[DateRange]) -> int:
    """The newest month that a range, a "since" or a point names; 0 if there is none.

    A point or an end that is a year alone counts as its first month: 2023 may be January.
    Years after 2050 are misprints and do not count.
    """
    latest = 0
    for found in ranges:
        last = found.start if found.end is None or found.kind == "point" else found.end
        if last < month_of(2051, 1):
            latest = max(latest, last)
    return latest


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


@dataclass(frozen=True)
class _Section:
    kind: str
    start: int
    end: int
    body: int
    """Where its heading ends."""


def _sections(text: str) -> list[_Section]:
    """The sections of a text, in order and without gaps; before the first heading is a summary."""
    cuts = [(0, 0, "summary")]
    tried = 0
    for word in _CAPITALISED.finditer(text):
        if word[0].lower() in _FIRST_WORDS and word.start() >= cuts[-1][1]:
            tried += 1
            m = _HEADING.match(text, word.start())
            if m is not None and _is_heading(text, m.start(), m.end()):
                kind = _NAMED.get(m[0].lower(), str(m.lastgroup))
                cuts.append((m.start(), m.end(), kind))
            if tried == MOST_WORDS or len(cuts) > MOST_SECTIONS:
                break
    ends = [start for start, _, _ in cuts[1:]] + [len(text)]
    return [
        _Section(kind, start, end, body)
        for (start, body, kind), end in zip(cuts, ends, strict=True)
        if end > start or not text
    ]


def _is_heading(text: str, start: int, end: int) -> bool:
    """Whether these words stand alone: after a break, before a break, and begin with a capital.

    A break is an end of line, two spaces, or glue: `portfolio.SkillsAgile`.
    """
    word, before, after = text[start:end], text[max(0, start - 2) : start], text[end : end + 2]
    if not word[0].isupper():
        return False
    shouted = word.isupper() and len(word) > 4
    left_line = start == 0 or before[-1:] in "\n\r\t•|*-–:;" or before in ("  ", ". ")
    left_glued = before[-1:].islower() or before[-1:] in ".)!?" or before[-1:].isdigit()
    right_line = not after.strip() or after[0] in "\n\r:\t" or after == "  "
    right_glued = after[:1].isupper() and not shouted or after[:1].isdigit()
    right_dash = after[:1] in "-–—•|" or (after[:1] == " " and after[1:] in "-–—•*:|")
    if left_line:
        return right_line or right_glued or right_dash or (shouted and not after[:1].isalpha())
    if left_glued and not word.isupper():
        return right_glued or right_line and "\n" in after
    return shouted and before[-1:] == " " and right_line


def _experiences_among(
    text: str, ranges: Sequence[DateRange], sections: Sequence[_Section]
) -> list[DateRange]:
    """The ranges that are the time of an experience."""
    chosen, at = [], 0
    for found in _without_columns(text, ranges)[: 2 * MOST_EXPERIENCES]:
        while at + 1 < len(sections) and sections[at + 1].start <= found.at:
            at += 1
        if _is_experience(text, found, sections[at].kind if sections else "summary"):
            chosen.append(found)
            if len(chosen) == MOST_EXPERIENCES:
                break
    return chosen


_COLUMN = 10
"""Fewer characters than this between two dates, and no text belongs to either."""


def _without_columns(text: str, ranges: Sequence[DateRange]) -> list[DateRange]:
    """Without runs of three dates and more that have nothing between them: a column of a table,
    torn from its rows when the file was made into text; whose dates they are cannot be told."""
    runs: list[list[DateRange]] = []
    for found in ranges:
        between = text[runs[-1][-1].to : found.at] if runs else ""
        if runs and len(between) < _COLUMN and not any(c.isalpha() for c in between):
            runs[-1].append(found)
        else:
            runs.append([found])
    return [found for run in runs if len(run) < 3 for found in run]


def _is_experience(text: str, found: DateRange, section: str) -> bool:
    before, after = text[max(0, found.at - 60) : found.at], text[found.to : found.to + 60]
    if _NO_EXPERIENCE.search(before):
        return False
    piece = _PIECE_END.split(before)[-1]
    if _HONOUR.search(piece) and not _JOB.search(piece):
        return False
    line = _line_around(before, after)
    needs_title = section in ("education", "other")
    if needs_title and not (_JOB.search(line) or _JOB.search(_near(before, after))):
        return False
    if section not in ("experience", "other") and _STUDIES.search(line):
        return False
    if found.kind == "range":
        return True
    if found.kind == "since":
        return section == "experience" or _stands_alone(before, after)
    if section not in ("experience", "summary") or not _stands_alone(before, after):
        return False
    if _JOB.search(_near(before, after)):
        return True
    bracketed = (before[-1:], after[:1]) == ("(", ")")
    return section == "experience" and (found.unit == "season" or bracketed)


_PIECE_END = re.compile(r"\s{2,}|\n|[.;•]\s")


def _near(before: str, after: str) -> str:
    """The last piece of text before a date and the first one after it."""
    first = _PIECE_END.split(after.strip(" \t\n:-–—"))[0]
    return _PIECE_END.split(before.strip())[-1] + "\n" + first


def _line_around(before: str, after: str) -> str:
    """What stands on the same line, as far as lines can be told."""
    return re.split(r"\n|\s{3,}", before)[-1] + " " + re.split(r"\n|\s{3,}", after)[0]


def _stands_alone(before: str, after: str) -> bool:
    """Whether a date stands in a header and not in a sentence: between breaks or in brackets."""
    left = not before.strip() or before[-1] in "(\n|\t" or before[-2:] in ("  ", ", ", "- ", "– ")
    right = (
        not after.strip() or after[0] in ")\n|\t:" or after[:2] in ("  ", " -", " –", " —", " |")
    )
    return left and right


def _experiences(
    text: str, chosen: Sequence[DateRange], sections: Sequence[_Section], reference: int
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
        end = min([end, *(b for b in breaks if dates.to <= b < end)])
        header_end = _header_end(text, dates.to, end)
        title, employer = _title_and_employer(text, starts[place], dates, header_end)
        written, why = text[dates.at : dates.to], _fault(dates, reference)
        found.append(
            Experience(title, employer, dates, starts[place], end, header_end, written, why)
        )
    return found


_BREAK = re.compile(r"\n|\t| {2,}|[.!?;] |(?<=[a-zà-ÿ)\].])(?=[A-Z])|[•|▪●■]")


def _header_start(text: str, floor: int, at: int) -> int:
    """Where the title before a date begins: after the last break, 120 characters back at most."""
    start = max(floor, at - 120)
    if re.search(r"[.!?]\s*$", text[max(start, at - 8) : at]):
        return at
    stem = text[start:at].rstrip(" ,(-–—|:\n")
    last = 0
    for m in _BREAK.finditer(stem):
        if len(stem) - m.end() >= 3:
            last = m.end()
    return start + last if last or start == floor else at


def _header_end(text: str, to: int, end: int) -> int:
    """Where the line with the date ends, 100 characters on at most."""
    line = re.search(r"\n| {2,}|[.;] ", text[to : min(end, to + 100)])
    return to + line.start() if line else min(end, to + 100)


def _title_and_employer(
    text: str, start: int, dates: DateRange, header_end: int
) -> tuple[str, str]:
    """What stands before the dates, and after them; if nothing stands before, the title follows."""
    strip = " ,(-–—|:;)\n\t•▪●■.*"
    before = text[start : dates.at].strip(strip)
    after = text[dates.to : header_end].strip(strip)
    if not before:
        return after[:80].strip(), ""
    return re.sub(r"\s+", " ", before), re.split(r"[,–|\n(]| - ", after)[0].strip()[:60]


def _segments(
    length: int, sections: Sequence[_Section], experiences: Sequence[Experience]
) -> tuple[Segment, ...]:
    """Sections cut at the experiences; together they cover [0, length)."""
    parts: list[Segment] = []
    cuts = [(e.start, e.end, place) for place, e in enumerate(experiences)]
    position = 0
    for section in sections:
        while position < section.end:
            inside = next((c for c in cuts if c[0] <= position < c[1]), None)
            if inside is not None:
                end = min(inside[1], section.end)
                parts.append(Segment("experience", position, end, inside[2]))
            else:
                ahead = [c[0] for c in cuts if c[0] > position]
                end = min([section.end, *ahead])
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


_WORDS = {
    "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8,
    "nine": 9, "ten": 10, "eleven": 11, "twelve": 12, "fifteen": 15, "twenty": 20, "thirty": 30,
}  # fmt: skip
_STATED = re.compile(
    rf"(?<![\w.,/$-])(?P<count>\d{{1,2}}(?:\.\d{{1,2}})?|(?i:{'|'.join(_WORDS)}))"
    r"(?P<plus>\s?\+|\s?plus)?[\s-]{0,2}"
    r"(?i:(?P<years>years?|yrs?\.?|años|ans|jahre|ani)|(?P<months>months?|mos|meses|mois|monate|luni))"
    r"(?:['’]s?)?(?![^\W\d_])"
    r"(?:\s?(?:,|and|&)?\s?(?P<more>\d{1,2})[\s-]?(?i:months?))?"
)
_AT_LEAST = re.compile(r"(?i:over|more than|at least|above|minimum(?: of)?|almost|nearly)\s?$")
_SOME_WORDS = r"(?:[.(\[]?\w(?:\S{0,18}[^\s.;:!?])?\s{1,2}|[&/+–-]\s{1,2})"
"""One of the words between a duration and what it is of; none ends a sentence or is a bullet."""
_OF_EXPERIENCE = re.compile(
    rf"(?i:\)?\s{{0,2}}(?:{_SOME_WORDS}{{0,5}}"
    r"(?:experiences?|expertise|exp|background|practice|track record)\b"
    rf"|as\san?\s|in\s{_SOME_WORDS}{{0,3}}(?:work|industry)\b|of\s{_SOME_WORDS}{{0,2}}service\b))"
)
_BEFORE_STATED = re.compile(r"(?i:experience(?: of)?|exp)\s?[:\-(]?\s{0,2}$")


def stated_durations(text: str) -> list[StatedDuration]:
    """`6+ years of experience`, `2 years and 4 months`, `ten years`: in order of appearance."""
    found = []
    for m in islice(_STATED.finditer(text), MOST_EXPERIENCES):
        count = _WORDS.get(m["count"].lower())
        amount = float(m["count"]) if count is None else count
        before, after = text[max(0, m.start() - 24) : m.start()], text[m.end() : m.end() + 70]
        if not (_OF_EXPERIENCE.match(after.lstrip()) or _BEFORE_STATED.search(before)):
            continue
        at_least = bool(m["plus"]) or _AT_LEAST.search(before) is not None
        months = round(amount * (12 if m["years"] else 1)) + int(m["more"] or 0)
        found.append(StatedDuration(m.start(), m.end(), months, at_least))
    return found
