"""Measure how well, and how fast, date ranges of experiences are found in real CVs.

`--cvs` is a zip of XML files in which annotators marked spans, as published by dotin-inc:
`<label type="Years of Experience">08/2014 - Current</label>`. A marked span is found if a range or
a stated duration of ours overlaps it (recall). A range of ours is right if a marked span overlaps
it (precision). The annotators left many ranges unmarked; therefore `--misses` writes every span
that was not found, every range of ours without a marked span, and every unread string, so that a
reader can judge them.

A third of the files, chosen by a hash of their names, was not used to write the rules. If dateutil
can read both ends of a span without ambiguity, the months are compared, too. The last line is one
JSON object with
  recall, precision, spans, ranges    on the files that were used to write the rules
  held_aside_recall, held_aside_precision, held_aside_spans, held_aside_ranges
  month_accuracy, months_compared     over all files
  masked                              ranges such as 05/20XX - 08/20XX, in all files: they are found
                                      and have no months, so they count for recall alone
  unread, cvs_with_unread             strings that look like dates of experiences and that none uses
  cvs_per_second                      one core, sections, experiences, durations and notes
  slowest_50_pages_ms                 the slowest of a set of hostile texts of 150,000 characters
  longest_text                        name of that text

  python benchmarks/experience.py --cvs train.zip --misses misses.tsv
"""

from __future__ import annotations

import argparse
import html
import json
import re
import time
import zipfile
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from random import Random

from dateutil import parser as dateutil_parser

from jdcv_core.months import month_of
from research.experience.parsing import _read, parse_cv

LABEL = "Years of Experience"
PAGES = 150_000
"""Number of characters of 50 pages."""
REPEATS = 3
MONTH_AND_YEAR = re.compile(
    r"[A-Z][a-z]+\.? \d{4}|\d{1,2}/\d{4}|\d{1,2}/1/\d{4}|\d{4}"
)  # unambiguous forms
ENDS = re.compile(r"\s*(?:-|–|—|to)\s*")
OPEN = {"present", "current", "till date", "date"}

Span = tuple[int, int]


def main() -> None:
    options = arguments()
    counts: Counter[tuple[object, ...]] = Counter()
    misses: list[str] = []
    seconds, cvs = 0.0, 0
    for name, text, spans in marked(options.cvs):
        started = time.perf_counter()
        parsed = parse_cv(text)
        seconds += time.perf_counter() - started
        cvs += 1
        part = "held aside" if held_aside(name) else "seen"
        stated = [(d.at, d.to) for d in parsed.stated]
        found = stated + [(e.dates.at, e.dates.to) for e in parsed.experiences]
        dated = [e.dates for e in parsed.experiences if not e.dates.unknown]
        known = stated + [(dates.at, dates.to) for dates in dated]
        counts["masked"] += len(found) - len(known)
        counts["unread"] += len(parsed.unread)
        counts["cvs with unread"] += bool(parsed.unread)
        for kind, own, other in (("missed", spans, found), ("unmarked", known, spans)):
            for span in own:
                hit = any(overlap(span, s) for s in other)
                counts[part, kind, hit] += 1
                if not hit:
                    misses.append("\t".join([part, kind, name, context(text, span)]))
        misses += [
            "\t".join([part, "unread", name, context(text, (u.at, u.to))]) for u in parsed.unread
        ]
        for span in spans:
            truth = read_by_dateutil(text[slice(*span)])
            if truth is None:
                continue
            ours = [dates for dates in dated if overlap(span, (dates.at, dates.to))]
            if len(ours) == 1:
                counts["months", (ours[0].start, ours[0].end) == truth] += 1
    if options.misses:
        header = "files\tkind\tfile\ttext"
        options.misses.write_text("\n".join([header, *misses]) + "\n", encoding="utf-8")
        print(f"{len(misses)} misses: {options.misses}")
    slowest, which = slowest_text()

    def share(part: str, kind: str) -> float:
        hit, not_hit = counts[part, kind, True], counts[part, kind, False]
        return hit / max(1, hit + not_hit)

    def number(part: str, kind: str) -> int:
        return counts[part, kind, True] + counts[part, kind, False]

    months = counts["months", True] + counts["months", False]
    found_figures = {
        "benchmark": "experience",
        "recall": share("seen", "missed"),
        "precision": share("seen", "unmarked"),
        "spans": number("seen", "missed"),
        "ranges": number("seen", "unmarked"),
        "held_aside_recall": share("held aside", "missed"),
        "held_aside_precision": share("held aside", "unmarked"),
        "held_aside_spans": number("held aside", "missed"),
        "held_aside_ranges": number("held aside", "unmarked"),
        "month_accuracy": counts["months", True] / max(1, months),
        "months_compared": months,
        "masked": counts["masked"],
        "unread": counts["unread"],
        "cvs_with_unread": counts["cvs with unread"],
        "cvs_per_second": cvs / seconds,
        "slowest_50_pages_ms": slowest * 1000,
        "longest_text": which,
    }
    print(json.dumps(found_figures))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cvs", type=Path, required=True, help="zip of XML files with labels")
    parser.add_argument("--misses", type=Path, help="tab-separated file to write")
    return parser.parse_args()


def held_aside(name: str) -> bool:
    """Return whether a file belongs to the third that was not used to write the rules."""
    return int(sha256(name.encode()).hexdigest(), 16) % 3 == 0


def marked(path: Path) -> Iterator[tuple[str, str, list[Span]]]:
    """Yield name, text and the spans of LABEL of each file, sorted by name."""
    with zipfile.ZipFile(path) as archive:
        for entry in sorted(archive.namelist()):
            if entry.endswith(".xml"):
                text, spans = without_labels(archive.read(entry).decode())
                yield Path(entry).name, text, spans


def without_labels(raw: str) -> tuple[str, list[Span]]:
    """Return the text between <cv> and </cv> and the positions of the spans in it.

    Escaped bytes in the files, such as `\\xe2\\x80\\x93`, are decoded.
    """
    body = raw[raw.index("<cv>") + 4 : raw.rindex("</cv>")]
    text, spans, open_labels = "", [], []
    for part in re.split(r'(<label type="[^"]*">|</label>)', body):
        if part.startswith("<label"):
            open_labels.append((part.split('"')[1], len(text)))
        elif part == "</label>":
            kind, start = open_labels.pop()
            if kind == LABEL and len(text) > start:
                spans.append((start, len(text)))
        else:
            text += re.sub(r"(?:\\x[0-9a-f]{2})+", _characters, html.unescape(part))
    return text, spans


def _characters(found: re.Match[str]) -> str:
    values = re.findall(r"\\x([0-9a-f]{2})", found[0])
    return bytes(int(value, 16) for value in values).decode("utf-8", "replace")


def overlap(one: Span, other: Span) -> bool:
    return one[0] < other[1] and other[0] < one[1]


def context(text: str, span: Span) -> str:
    """Show the span in brackets with the text around it, on one line."""
    start, end = span
    around = f"{text[max(0, start - 60) : start]}[[{text[start:end]}]]{text[end : end + 40]}"
    return re.sub(r"\s", " ", around)


def read_by_dateutil(span: str) -> tuple[int, int | None] | None:
    """Return first month and end (None for an open end), or None if the span is ambiguous."""
    ends = ENDS.split(span.strip())
    if len(ends) != 2:
        return None
    months = []
    for end in ends:
        if end.lower() in OPEN:
            months.append(None)
        elif MONTH_AND_YEAR.fullmatch(end):
            try:
                date = dateutil_parser.parse(end, default=datetime(2000, 1, 1))
            except ValueError:
                return None
            months.append(month_of(date.year, date.month))
        else:
            return None
    if months[0] is None:
        return None
    if months[1] == months[0]:  # both ends in one month or year: count it whole
        months[1] += 12 if ends[1].isdigit() else 1
    return months[0], months[1]


def slowest_text() -> tuple[float, str]:
    """Return seconds (best of REPEATS) and name of the slowest hostile text."""
    random = Random(0)
    pieces = ["2010", "Jan", "to", "-", "/", " ", "\n", "Experience", "5 years", "present", "1",
              "Education", ".", ",", "é", "Work ", "20132015", "(", ")", "Skills:"]  # fmt: skip
    texts = {name: name * (PAGES // len(name)) for name in (
        "1", "1 ", "2014-", "Jan ", "Jan 2010 - ", "01/02/", "Experience\n", "WORK AND ",
        "Professional Work ", "5 years of ", " ", "\n", "2010 to ", "2010  ", "since 2016. ",
        "(2016)\n", "Engineer, 2010-2011, Acme\n", "A", "Work work WORK ",
    )}  # fmt: skip
    for number in range(20):
        drawn = random.choices(pieces, k=PAGES // 3)
        texts[f"random {number}"] = "".join(drawn)[:PAGES]
    slowest = (0.0, "")
    for name, text in texts.items():
        best = float("inf")
        for _ in range(REPEATS):
            _read.cache_clear()
            started = time.perf_counter()
            parse_cv(text)
            best = min(best, time.perf_counter() - started)
        slowest = max(slowest, (best, name.strip() or repr(name)))
    return slowest


if __name__ == "__main__":
    main()
