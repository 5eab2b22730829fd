"""`jdcv score`: score one CV against one JD, or every row of a CSV file."""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.cli.text_files import (
    add_hidden,
    check_out,
    read_files_of,
    read_pairs,
    read_text,
    say,
    write_csv,
)
from jdcv_core.data.sources import HUB_COLUMNS
from jdcv_core.errors import InputError
from jdcv_core.progress import progress
from jdcv_core.types import Encoded

if TYPE_CHECKING:
    from jdcv_core.matcher import Matcher

EXAMPLES = """\
examples
  one CV against one JD (text, PDF, DOCX, RTF or HTML)
    jdcv score --model runs/baseline/matcher --cv cv.pdf --jd jd.txt
  the same with reasons: which requirement is met by which line, and a figure of it
    jdcv score --model runs/full_stack/matcher --cv cv.txt --jd jd.txt --explain --out why.png
  every row of a CSV file; the output has all columns of the input, then score and label
    jdcv score --model runs/baseline/matcher --pairs pairs.csv --out scored.csv
  the same for a CSV file with the paths of CVs and JDs
    jdcv score --model runs/baseline/matcher --pairs pairs.csv --files --out scored.csv
  the same with other column names
    jdcv score --model runs/baseline/matcher --pairs pairs.csv --out scored.csv \\
        --cv-column cv --jd-column jd --label-column predicted
"""


def add_command(commands: Any) -> None:
    """Add `score` to the parser of `jdcv`."""
    score = commands.add_parser(
        "score",
        help="score a CV against a JD, or every pair of a CSV file",
        description="Score a CV against a job description (JD), or every pair of a CSV file.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    score.set_defaults(command=run_score)
    add = score.add_argument
    add("--model", type=Path, required=True, metavar="FOLDER", help="a saved matcher")
    add("--cv", type=Path, metavar="FILE", help="one CV: text, PDF, DOCX, RTF or HTML")
    add("--jd", type=Path, metavar="FILE", help="one JD, of the same kinds")
    add("--pairs", type=Path, metavar="FILE", help="a CSV file with a CV and a JD in each row")
    text = "the columns of --pairs have paths of files, relative to the CSV file, and not texts"
    add("--files", action="store_true", help=text)
    add_hidden(add)
    text = "the file to write: with --pairs a CSV file, with --explain a figure (.png, .svg, .pdf)"
    add("--out", type=Path, metavar="FILE", help=text)
    text = (
        "print why: the requirements that are met or missing, for a scorer that compares line by "
        "line, and the effect of each chunk; goes with --cv and --jd"
    )
    add("--explain", action="store_true", help=text)
    add("--force", action="store_true", help="replace the file --out if it exists")
    add("--cv-column", default=HUB_COLUMNS["cv"], metavar="NAME", help="default: %(default)s")
    add("--jd-column", default=HUB_COLUMNS["jd"], metavar="NAME", help="default: %(default)s")
    add("--score-column", default="score", metavar="NAME", help="in --out; default: %(default)s")
    add("--label-column", default="label", metavar="NAME", help="in --out; default: %(default)s")
    add("--device", default="auto", help="a torch device, or auto: CUDA if there is a GPU")
    precision = ("fp32", "bf16", "auto")
    add("--precision", choices=precision, help="default: the one the model was saved with")
    cache = Path("~/.cache/jdcv")
    text = "keeps the chunk vectors of --pairs; default: %(default)s"
    add("--cache-dir", type=Path, default=cache, metavar="FOLDER", help=text)


def run_score(arguments: argparse.Namespace) -> None:
    """`jdcv score`: check all arguments first, then load the model."""
    given = {name for name in ("cv", "jd", "pairs", "out") if getattr(arguments, name) is not None}
    explain = arguments.explain
    allowed: list[set[str]] = [{"cv", "jd"}, {"cv", "jd", "out"} if explain else {"pairs", "out"}]
    if given not in allowed:
        named = " ".join(f"--{name}" for name in ("cv", "jd", "pairs", "out") if name in given)
        what = f"it got {named}" if given else "it got no text"
        cure = "give --cv and --jd, or --pairs and --out"
        raise InputError("jdcv score", what, "give --cv and --jd" if explain else cure)
    if arguments.files and "pairs" not in given:
        raise InputError("--files", "there is no --pairs", "leave it out")
    if explain and arguments.out is not None:
        if arguments.out.suffix.lower() not in (".png", ".svg", ".pdf"):
            raise InputError(str(arguments.out), "no such kind of figure", "end it in .png")
        check_out(arguments.out, arguments.force)
    if not arguments.model.is_dir():
        what = "there is no such folder"
        raise InputError(str(arguments.model), what, "give --model=FOLDER of a saved matcher")
    if explain:
        explain_one(arguments)
    elif "cv" in given:
        score_one(arguments)
    else:
        score_table(arguments)


def score_one(arguments: argparse.Namespace) -> None:
    """Print score, label and number of chunks of one pair."""
    cv, jd = (read_text(path, arguments.hidden) for path in (arguments.cv, arguments.jd))
    matcher = load(arguments)
    with progress("Loading the model", None):
        _ = matcher.encoder.module
    (own,), (other,) = matcher.encode([cv], side="cv"), matcher.encode([jd], side="jd")
    score = score_pair(matcher, cv=own, jd=other)
    print(f"score   {score:.6f}")
    print(f"label   {matcher.label(score)}")
    print(f"chunks  {len(own.chunks)} of the CV, {len(other.chunks)} of the JD")


def explain_one(arguments: argparse.Namespace) -> None:
    """Print an explanation of one pair, and draw its requirements.

    Raises InputError for a figure of a scorer without requirements.
    """
    cv, jd = (read_text(path, arguments.hidden) for path in (arguments.cv, arguments.jd))
    matcher = load(arguments)
    if arguments.out is not None and not callable(getattr(matcher.scorer, "evidence", None)):
        what = (
            f"{type(matcher.scorer).__name__} does not say which requirement is met by which line"
        )
        raise InputError("--out", what, "leave it out, or give a model of +exp=full_stack")
    found = matcher.explain(cv=cv, jd=jd)
    print(found)
    if arguments.out is not None:
        from experiments.figures.requirements_figure import draw

        title = (
            f"{arguments.cv.name} for {arguments.jd.name}: score {found.score:.2f} ({found.label})"
        )
        draw(arguments.out, found.requirements, title, found.notes)
        say(f"Figure: {arguments.out}")


def score_pair(matcher: Matcher, *, cv: Encoded, jd: Encoded) -> float:
    """The score of two documents that `Matcher.encode` gave."""
    from jdcv_core.scoring import score_encoded

    return float(score_encoded(matcher.scorer, [("cv", "jd")], {"cv": cv, "jd": jd})[0])


def score_table(arguments: argparse.Namespace) -> None:
    """Score every row of a CSV file and write the rows with two more columns."""
    out, added = arguments.out, [arguments.score_column, arguments.label_column]
    check_out(out, arguments.force)
    names = (arguments.cv_column, arguments.jd_column)
    header, rows = read_pairs(arguments.pairs, names, added)
    cv, jd = (header.index(name) for name in names)
    texts = {side: [values[at] for _, values in rows] for side, at in (("cv", cv), ("jd", jd))}
    if arguments.files:
        texts = read_files_of(arguments.pairs, texts, [p for p, _ in rows], arguments.hidden)
    matcher = load(arguments)
    from jdcv_core.encoding.vector_store import VectorStore

    try:
        with VectorStore(arguments.cache_dir.expanduser() / "vectors.sqlite") as store:
            scores = matcher.score_pairs(
                cvs=texts["cv"],
                jds=texts["jd"],
                store=store,
                places=[f"{arguments.pairs}, {place}" for place, _ in rows],
            ).tolist()
    except KeyboardInterrupt:
        kept = "the chunk vectors are kept, so the same command continues from them"
        raise KeyboardInterrupt(f"Stopped. {out} was not written; {kept}.") from None
    labels = [matcher.label(score) for score in scores]
    scored = ((*v, s, b) for (_, v), s, b in zip(rows, scores, labels, strict=True))
    write_csv(out, [*header, *added], scored, arguments.force)
    counts = Counter(labels)
    shares = ", ".join(f"{counts[label]} {label}" for label in matcher.labels)
    print(f"{len(scores)} pairs scored ({shares}): {out}")


def load(arguments: argparse.Namespace) -> Matcher:
    """The model; torch and transformers are imported here, so that --help is fast."""
    with progress("Loading libraries", None):
        from jdcv_core.matcher import Matcher

    return Matcher.from_pretrained(arguments.model, arguments.device, arguments.precision)
