"""`jdcv timeline`: the experiences of a CV with months and weights, as a table, JSON or figure."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

from experiments.cli.score_command import load, score_pair
from experiments.cli.text_files import add_hidden, check_out, read_text, say
from jdcv_core.errors import InputError
from jdcv_core.progress import progress

OLD = 24
"""Months after which the newest date in a CV suggests that the CV was written long ago."""
EXAMPLES = """\
examples
  the experiences of a CV as a table and a figure
    jdcv timeline --cv cv.txt --out timeline.png
  the same as JSON, with "current" meaning June 2024
    jdcv timeline --cv cv.txt --reference 2024-06 --json
  with the score of each experience against a JD
    jdcv timeline --cv cv.txt --model runs/baseline/matcher --jd jd.txt --out timeline.png
"""


def add_command(commands: Any) -> None:
    """Add `timeline` to the parser of `jdcv`."""
    timeline = commands.add_parser(
        "timeline",
        help="show the experiences of a CV: when, how long, with which weight",
        description="Read the experiences of a CV and show their months and weights.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    timeline.set_defaults(command=run_timeline)
    add = timeline.add_argument
    add("--cv", type=Path, required=True, metavar="FILE", help="one CV: text, PDF, DOCX, …")
    add("--jd", type=Path, metavar="FILE", help="one JD; goes with --model")
    add_hidden(add)
    add("--model", type=Path, metavar="FOLDER", help="a saved matcher that scores experiences")
    add("--out", type=Path, metavar="FILE", help="the figure to write, .png, .svg or .pdf")
    add("--force", action="store_true", help="replace the file --out if it exists")
    add("--json", action="store_true", help="print JSON instead of a table")
    text = (
        "the month that 'current' means, as 2024-06; default: today if a job is current, else the "
        "newest month in the CV"
    )
    add("--reference", metavar="MONTH", help=text)
    text = "months after which an experience has half the weight; default: %(default)s"
    add("--half-life", type=float, default=60.0, metavar="MONTHS", help=text)
    add("--device", default="auto", help="a torch device, or auto: CUDA if there is a GPU")
    add(
        "--precision",
        choices=("fp32", "bf16", "auto"),
        help="of the model; default: the one it was saved with",
    )


def scorer_of(arguments: argparse.Namespace) -> Callable[[str], float]:
    """A function from the text of an experience to its score against the JD."""
    jd, matcher = read_text(arguments.jd, arguments.hidden), load(arguments)
    (other,) = matcher.encode([jd], side="jd")

    def score(experience: str) -> float:
        (own,) = matcher.encode([experience], side="cv")
        return score_pair(matcher, cv=own, jd=other)

    return score


def run_timeline(arguments: argparse.Namespace) -> None:
    """`jdcv timeline`: the experiences of one CV as a table, as JSON, as a figure.

    Without --reference a person's "current" is today; experiments never look at the clock.
    """
    from jdcv_core.months import as_text, month_from, month_of
    from research.experience.parsing import parse_cv
    from research.experience.reference import reference_for_a_person

    if (arguments.jd is None) != (arguments.model is None):
        raise InputError("jdcv timeline", "a score needs a model and a JD", "give both, or neither")
    if arguments.half_life <= 0:
        raise InputError("--half-life", "it must be above 0", "give it in months")
    if arguments.out is not None:
        if arguments.out.suffix.lower() not in (".png", ".svg", ".pdf"):
            raise InputError(str(arguments.out), "no such kind of figure", "end it in .png")
        check_out(arguments.out, arguments.force)
    text = read_text(arguments.cv, arguments.hidden)
    try:
        asked = arguments.reference and month_from(arguments.reference)
    except ValueError as fault:
        raise InputError("--reference", str(fault), "write it as 2024-06") from fault
    parsed = parse_cv(text)
    newest, now = parsed.reference, date.today()
    reference, why = reference_for_a_person(parsed, month_of(now.year, now.month))
    if asked:
        reference, why = asked, "given"
    parsed = parsed.at(reference)
    notes = [*parsed.notes]
    if why == "today" and 0 < newest < reference - OLD:
        notes.append(
            f"the newest date in the CV is {as_text(newest)}: if the CV was written then, give "
            f"--reference {as_text(newest)}"
        )
    score = None if arguments.model is None else scorer_of(arguments)
    with progress("Reading", None):
        from research.experience.timeline import timeline
        from research.experience.weights import Decay

        entries = timeline(text, parsed, Decay(arguments.half_life), score)
    if arguments.json:
        from experiments.figures.timeline_figure import as_json

        content: dict[str, Any] = {
            "cv": str(arguments.cv),
            "reference": as_text(reference),
            "reference_from": why,
            "notes": notes,
            "experiences": entries,
            "unread": [asdict(unread) for unread in parsed.unread],
        }
        print(as_json(content), end="")
    else:
        for e in entries:
            shown = f"{e['from']} to {e['to']:<8}{e['months']:>5} months"
            shown += "" if e["weight"] is None else f"  weight {e['weight']:.2f}"
            shown += "" if e["score"] is None else f"  score {e['score']:.3f}"
            print(f"{shown}  {e['title'][:60]}")
        print(f"reference {as_text(reference)} ({why})")
        for note in notes:
            say(note)
    if arguments.out is not None:
        from experiments.figures.timeline_figure import draw

        below = [str(u) for u in parsed.unread] + list(parsed.skipped)
        draw(arguments.out, entries, reference, arguments.cv.name, below, why)
        say(f"Figure: {arguments.out}")
