"""Durations that a CV states in words: `6+ years of experience`. Ours."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import islice

MOST_DURATIONS = 200
"""Durations that are tried in one text, many times what a CV has."""


@dataclass(frozen=True)
class StatedDuration:
    """`6+ years of experience`: months that the CV states in words, at [at, to)."""

    at: int
    to: int
    months: int
    at_least: bool


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
    for m in islice(_STATED.finditer(text), MOST_DURATIONS):
        count = _WORDS.get(m["count"].lower())
        amount = float(m["count"]) if count is None else count
        before, after = text[max(0, m.start() - 24) : m.start()], text[m.end() : m.end() + 70]
        if not (_OF_EXPERIENCE.match(after.lstrip()) or _BEFORE_STATED.search(before)):
            continue
        at_least = bool(m["plus"]) or _AT_LEAST.search(before) is not None
        months = round(amount * (12 if m["years"] else 1)) + int(m["more"] or 0)
        found.append(StatedDuration(m.start(), m.end(), months, at_least))
    return found
