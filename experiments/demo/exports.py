"""The ranking as files. Ours."""

from __future__ import annotations

import csv
import io
import tempfile
from collections.abc import Callable
from pathlib import Path

from experiments.demo.desk import Ranking
from experiments.demo.inert import csv_cell
from jdcv_core.requirements import STATES
from research.retrieval import trec


def csv_of(ranking: Ranking, called: Callable[[str], str]) -> bytes:
    """A row for each match, in UTF-8 with a mark by which spreadsheets know it; no cell is a
    formula. called: id → what a CV is called, such as in blind mode"""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(["rank", "cv", "score", *STATES, "requirements missing", "nearly the same"])
    for match in ranking.matches:
        listed = [r for r in match.requirements if r.listed]
        missing = [r.text.strip() for r in listed if r.state == STATES[-1]]
        counts = [sum(r.state == state for r in listed) for state in STATES]
        texts = [" | ".join(missing), ", ".join(map(called, match.copies))]
        first = [ranking.place(match.id), csv_cell(called(match.id)), f"{match.score:.6f}"]
        writer.writerow([*first, *counts, *map(csv_cell, texts)])
    return out.getvalue().encode("utf-8-sig", "replace")


def trec_of(ranking: Ranking, called: Callable[[str], str]) -> bytes:
    """All CVs that were ranked, as a TREC run with the query `jd`. Raises InputError for a name
    with white space, see `trec.write_run`."""
    run = {"jd": {called(name): score for name, score in ranking.scores.items()}}
    with tempfile.TemporaryDirectory() as space:
        file = Path(space) / "run.txt"
        trec.write_run(file, run, "jdcv")
        return file.read_bytes()
