"""Measure how often explanations by requirement are right, where the truth is known.

The demo corpus knows which skills a JD requires and which experiences of a person exercised each of
them. `--model` is a saved matcher whose scorer has `evidence`, trained on the demo corpus:

  python experiments/run.py +exp=full_stack 'rows=["mean over chunk pairs","+ words (all)"]' \\
      'seeds=[0]' save_models=true
  python benchmarks/explanations.py --model runs/full_stack/ID/models/ROW

It explains `--pairs` test pairs of the split of seed 0, and prints `--wrong` lines that are matched
though the person lacks the skill, or whose best CV line names another skill. The last line is one
JSON object with
  importance         share of the importance that JD lines on required skills have
  matched_right      share of the lines called matched or partly matched whose skill the person has
  missing_right      share of the lines called missing whose skill the person lacks
  line_right         of the matched or partly matched lines whose skill the person has: share whose
                     best CV line names that skill and is in an experience that exercised it
  line_by_chance     the same for a random line of the CV
  experience_right   share of the experiences named as answers that exercised the skill
  experience_found   share of the experiences that exercised the skill and were named
  pairs, lines       number of pairs, and of listed JD lines on required skills
  usual_cosine       the largest median cosine of a CV line and a JD line in a pair
  other_cosine       with `--other`, a CSV file of the hub dataset: the smallest one in its pairs
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import sys
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from random import Random

import numpy as np

from jdcv_core import Matcher, demo_corpus, make_split
from jdcv_core.data.demo.generate import DemoSettings, draw_world, write_documents
from jdcv_core.data.demo.latent import Job, Person
from jdcv_core.data.normalise import document_id
from jdcv_core.data.sources import HUB_COLUMNS
from jdcv_core.encoding.whitening import unit_rows
from jdcv_core.requirements import STATES, Requirement, requirements_of
from jdcv_core.types import SIDES, Encoded

Counts = defaultdict[str, float]


class Truth:
    """The people, jobs and names of skills of the demo corpus.

    people, jobs: by document id
    """

    people: Mapping[str, Person]
    jobs: Mapping[str, Job]

    def __init__(self) -> None:
        settings = DemoSettings()
        people, jobs, world, bank = draw_world(settings)
        cvs, jds = write_documents(settings, people, jobs, world, bank)
        ids = ([document_id("cv", t) for t in cvs], [document_id("jd", t) for t in jds])
        self.people = dict(zip(ids[0], people, strict=True))
        self.jobs = dict(zip(ids[1], jobs, strict=True))
        skills = [s for sector in bank["sectors"].values() for f in sector.values() for s in f]
        named = [(name.lower(), at) for at, skill in enumerate(skills) for name in skill[:2]]
        self.names = sorted(named, key=lambda name: -len(name[0]))

    def skill_of(self, text: str) -> int | None:
        """The skill with the longest name in a text."""
        return next((at for name, at in self.names if name in text.lower()), None)


def main() -> None:
    options = arguments()
    truth, random = Truth(), Random(0)
    dataset, matcher = demo_corpus(), Matcher.from_pretrained(options.model)
    test = [dataset.pairs[i] for i in make_split(dataset, "jd", seed=0).test]
    pairs = random.sample(test, min(options.pairs, len(test)))
    encoded: dict[str, Encoded] = {}
    for side in SIDES:
        ids = sorted({getattr(pair, side) for pair in pairs})
        texts = [dataset.documents[i].text for i in ids]
        encoded |= dict(zip(ids, matcher.encode(texts, side=side), strict=True))
    counts: Counts = defaultdict(float)
    wrong: list[str] = []
    for pair in pairs:
        cv, jd = encoded[pair.cv], encoded[pair.jd]
        for r in requirements_of(matcher.scorer, cv, jd).each:  # type: ignore[arg-type]
            count(counts, wrong, r, truth, truth.people[pair.cv], truth.jobs[pair.jd], cv, random)
    found = figures(counts) | {"pairs": len(pairs), "lines": int(counts["lines"])}
    found["usual_cosine"] = max(usual_cosine(encoded[p.cv], encoded[p.jd]) for p in pairs)
    if options.other is not None:
        found["other_cosine"] = min(other_cosines(matcher, options.other))
    for line in random.sample(wrong, min(options.wrong, len(wrong))):
        print(line)
    print(json.dumps(found))


def usual_cosine(cv: Encoded, jd: Encoded) -> float:
    """The median cosine of a CV chunk and a JD chunk, by which `explanation` judges a pair."""
    return round(float(np.median(unit_rows(cv.vectors) @ unit_rows(jd.vectors).T)), 4)


def other_cosines(matcher: Matcher, path: Path) -> list[float]:
    """`usual_cosine` of each pair of a CSV file."""
    csv.field_size_limit(sys.maxsize)
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    sides = [matcher.encode([r[HUB_COLUMNS[s]] for r in rows], side=s) for s in SIDES]
    return [usual_cosine(cv, jd) for cv, jd in zip(*sides, strict=True)]


def count(
    counts: Counts,
    wrong: list[str],
    r: Requirement,
    truth: Truth,
    person: Person,
    job: Job,
    cv: Encoded,
    random: Random,
) -> None:
    """Compare a JD line with the truth."""
    skill = truth.skill_of(r.text)
    counts["importance"] += r.importance
    if skill not in job.required:
        return
    counts["importance of required"] += r.importance
    if not r.listed:
        return
    counts["lines"] += 1
    own = {place for place, e in enumerate(person.experiences) if skill in e.skills}
    missing = r.state == STATES[-1]
    counts["missing" if missing else "matched"] += 1
    counts["missing right" if missing else "matched right"] += missing != bool(own)
    if missing or not own:
        if not missing:
            wrong.append(f"lacks it: {r.text.strip()}  <-  {r.answers[0].text.strip()}")
        return

    def right(text: str, place: int | None) -> bool:
        return truth.skill_of(text) == skill and place in own

    best, chunk = r.answers[0], random.choice(cv.chunks)
    hit = right(best.text, place_at(cv, best.index))
    counts["line"] += 1
    counts["line right"] += hit
    text = cv.document.text[chunk.start : chunk.end]
    counts["chance right"] += right(text, place_at(cv, chunk.index))
    if not hit:
        wrong.append(f"another line: {r.text.strip()}  <-  {best.text.strip()}")
    named = {place for a in r.answers if (place := place_at(cv, a.index)) is not None}
    counts["named"] += len(named)
    counts["named right"] += len(named & own)
    counts["own"] += len(own)


def place_at(cv: Encoded, chunk: int) -> int | None:
    """The place of a chunk's experience, or None."""
    months = cv.chunks[chunk].months
    return None if months is None or math.isnan(months.experience) else int(months.experience)


def figures(counts: Counts) -> dict[str, float]:
    shares = {
        "importance": ("importance of required", "importance"),
        "matched_right": ("matched right", "matched"),
        "missing_right": ("missing right", "missing"),
        "line_right": ("line right", "line"),
        "line_by_chance": ("chance right", "line"),
        "experience_right": ("named right", "named"),
        "experience_found": ("named right", "own"),
    }
    return {
        name: round(counts[part] / max(counts[whole], 1), 4)
        for name, (part, whole) in shares.items()
    }


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--pairs", type=int, default=400)
    parser.add_argument("--other", type=Path)
    parser.add_argument("--wrong", type=int, default=12)
    return parser.parse_args()


if __name__ == "__main__":
    main()
