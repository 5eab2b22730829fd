"""The command `jdcv`: `score` scores CVs against JDs with a trained model, `timeline` shows what
was read of a CV's experiences; `index`, `search`, `rank` and `erase` are in
`retrieval_commands.py`."""

from __future__ import annotations

import argparse
import csv
import os
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from experiments.cli.retrieval_commands import add_commands
from jdcv_core.data.rows import hint, text_fault
from jdcv_core.data.sources import HUB_COLUMNS
from jdcv_core.data.tables import LARGEST_FIELD, decode, read_table
from jdcv_core.errors import InputError
from jdcv_core.progress import console, progress
from jdcv_core.types import LABELS

if TYPE_CHECKING:
    from jdcv_core.matcher import Matcher

EXAMPLES = """\
examples
  one CV against one JD (text files, UTF-8)
    jdcv score --model runs/baseline/matcher --cv cv.txt --jd jd.txt
  every row of a CSV file: all its columns, then score and label
    jdcv score --model runs/baseline/matcher --pairs pairs.csv --out scored.csv
  with columns of other names
    jdcv score --model runs/baseline/matcher --pairs pairs.csv --out scored.csv \\
        --cv-column cv --jd-column jd --label-column predicted
"""
TIMELINE_EXAMPLES = """\
examples
  what was read of a CV, as a table and a figure
    jdcv timeline --cv cv.txt --out timeline.png
  the same as JSON, with "current" meaning June 2024
    jdcv timeline --cv cv.txt --reference 2024-06 --json
  with each experience's own score against a JD
    jdcv timeline --cv cv.txt --model runs/baseline/matcher --jd jd.txt --out timeline.png
"""
PACKED = {b"%PDF": "a PDF", b"PK\x03\x04": "a DOCX or another packed file"}
Rows = list[tuple[str, tuple[Any, ...]]]
"""Place in the file, and the values of all columns."""


class Parser(argparse.ArgumentParser):
    """One that says in one line what is wrong."""

    def error(self, message: str) -> NoReturn:
        raise InputError(self.prog, message, f"see {self.prog} --help")


def main(argv: Sequence[str] | None = None) -> int:
    """Run `jdcv ...`; returns the exit code: 0, 2 for what the user can mend, 130 for Ctrl-C."""
    try:
        arguments = parser().parse_args(argv)
        arguments.command(arguments)
    except InputError as fault:
        _say(f"Error: {fault}", "red")
        return 2
    except KeyboardInterrupt as stopped:
        _say(str(stopped) or "Stopped.", "")
        return 130
    return 0


def parser() -> Parser:
    whole = Parser(prog="jdcv", description="Read CVs and match them with job descriptions.")
    commands = whole.add_subparsers(title="commands", required=True, metavar="COMMAND")
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
    add("--cv", type=Path, metavar="FILE", help="the text of one CV")
    add("--jd", type=Path, metavar="FILE", help="the text of one JD")
    add("--pairs", type=Path, metavar="FILE", help="a CSV file with a CV and a JD in each row")
    add("--out", type=Path, metavar="FILE", help="the CSV file to write; goes with --pairs")
    add("--force", action="store_true", help="replace the file --out if it is there")
    add("--cv-column", default=HUB_COLUMNS["cv"], metavar="NAME", help="default: %(default)s")
    add("--jd-column", default=HUB_COLUMNS["jd"], metavar="NAME", help="default: %(default)s")
    add("--score-column", default="score", metavar="NAME", help="in --out; default: %(default)s")
    add("--label-column", default="label", metavar="NAME", help="in --out; default: %(default)s")
    add("--device", default="auto", help="a torch device, or auto: CUDA where there is one")
    precision = ("fp32", "bf16", "auto")
    add("--precision", choices=precision, help="default: the one the model was saved with")
    cache = Path("~/.cache/jdcv")
    text = "keeps the chunk vectors of --pairs; default: %(default)s"
    add("--cache-dir", type=Path, default=cache, metavar="FOLDER", help=text)
    _add_timeline(commands)
    add_commands(commands)
    return whole


def _add_timeline(commands: Any) -> None:
    timeline = commands.add_parser(
        "timeline",
        help="show the experiences of a CV: when, how long, with which weight",
        description="Read the experiences of a CV and show their months and weights.",
        epilog=TIMELINE_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    timeline.set_defaults(command=run_timeline)
    add = timeline.add_argument
    add("--cv", type=Path, required=True, metavar="FILE", help="the text of one CV")
    add("--jd", type=Path, metavar="FILE", help="the text of one JD; goes with --model")
    add("--model", type=Path, metavar="FOLDER", help="a saved matcher that scores experiences")
    add("--out", type=Path, metavar="FILE", help="the figure to write, .png, .svg or .pdf")
    add("--force", action="store_true", help="replace the file --out if it is there")
    add("--json", action="store_true", help="print JSON instead of a table")
    text = "the month that 'current' means, as 2024-06; default: the newest in the CV"
    add("--reference", metavar="MONTH", help=text)
    text = "months after which an experience counts half; default: %(default)s"
    add("--half-life", type=float, default=60.0, metavar="MONTHS", help=text)
    add("--device", default="auto", help="a torch device, or auto: CUDA where there is one")
    add("--precision", choices=("fp32", "bf16", "auto"), help="of the model")


def run_timeline(arguments: argparse.Namespace) -> None:
    """`jdcv timeline`: the experiences of one CV as a table, as JSON, as a figure."""
    from jdcv_core.months import as_text, month_from
    from research.experience.parsing import parse_cv

    if (arguments.jd is None) != (arguments.model is None):
        raise InputError("jdcv timeline", "a score needs a model and a JD", "give both, or neither")
    if arguments.half_life <= 0:
        raise InputError("--half-life", "it must be above 0", "give it in months")
    if arguments.out is not None:
        if arguments.out.suffix.lower() not in (".png", ".svg", ".pdf"):
            raise InputError(str(arguments.out), "no such kind of figure", "end it in .png")
        check_out(arguments.out, arguments.force)
    text = read_text(arguments.cv)
    try:
        asked = arguments.reference and month_from(arguments.reference)
    except ValueError as fault:
        raise InputError("--reference", str(fault), "write it as 2024-06") from fault
    parsed = parse_cv(text, asked)
    reference, notes = parsed.reference, parsed.notes
    score = None
    if arguments.model is not None:
        jd, matcher = read_text(arguments.jd), load(arguments)
        score = lambda own: matcher.score(own, jd)  # noqa: E731
    with progress("Reading", None):
        from research.experience.timeline import timeline
        from research.experience.weights import Decay

        entries = timeline(text, parsed, Decay(arguments.half_life), score)
    if arguments.json:
        from experiments.figures.timeline_figure import as_json

        content = {"cv": str(arguments.cv), "reference": as_text(reference), "notes": notes}
        print(as_json(content | {"experiences": entries}), end="")
    else:
        for e in entries:
            shown = f"{e['from']} to {e['to']:<8}{e['months']:>5} months"
            shown += "" if e["weight"] is None else f"  weight {e['weight']:.2f}"
            shown += "" if e["score"] is None else f"  score {e['score']:.3f}"
            print(f"{shown}  {e['title'][:60]}")
        for note in notes:
            _say(note, "")
    if arguments.out is not None:
        from experiments.figures.timeline_figure import draw

        draw(arguments.out, entries, reference, arguments.cv.name)
        _say(f"Figure: {arguments.out}", "")


def run_score(arguments: argparse.Namespace) -> None:
    """`jdcv score`: check everything that can be checked at once, then load the model."""
    given = {name for name in ("cv", "jd", "pairs", "out") if getattr(arguments, name) is not None}
    if given not in ({"cv", "jd"}, {"pairs", "out"}):
        named = " ".join(f"--{name}" for name in ("cv", "jd", "pairs", "out") if name in given)
        what = f"it got {named}" if given else "it got no text"
        raise InputError("jdcv score", what, "give --cv and --jd, or --pairs and --out")
    if not arguments.model.is_dir():
        what = "there is no such folder"
        raise InputError(str(arguments.model), what, "give --model=FOLDER of a saved matcher")
    if "cv" in given:
        score_one(arguments)
    else:
        score_table(arguments)


def score_one(arguments: argparse.Namespace) -> None:
    """Print score, label and number of chunks of one pair."""
    cv, jd = read_text(arguments.cv), read_text(arguments.jd)
    matcher = load(arguments)
    with progress("Loading the model", None):
        _ = matcher.encoder.module
    score = matcher.score(cv, jd)
    counts = len(matcher.chunks(cv, "cv")), len(matcher.chunks(jd, "jd"))
    print(f"score   {score:.6f}")
    print(f"label   {matcher.label(score)}")
    print(f"chunks  {counts[0]} of the CV, {counts[1]} of the JD")


def score_table(arguments: argparse.Namespace) -> None:
    """Score every row of a CSV file and write it with two more columns."""
    out, added = arguments.out, [arguments.score_column, arguments.label_column]
    check_out(out, arguments.force)
    names = (arguments.cv_column, arguments.jd_column)
    header, rows = read_pairs(arguments.pairs, names, added)
    cv, jd = (header.index(name) for name in names)
    matcher = load(arguments)
    from jdcv_core.encoding.vector_store import VectorStore

    try:
        with VectorStore(arguments.cache_dir.expanduser() / "vectors.sqlite") as store:
            scores = matcher.score_many(
                [(values[cv], values[jd]) for _, values in rows],
                store,
                [f"{arguments.pairs}, {place}" for place, _ in rows],
            ).tolist()
    except KeyboardInterrupt:
        kept = "the chunk vectors are kept, so the next run starts from them"
        raise KeyboardInterrupt(f"Stopped. {out} was not written; {kept}.") from None
    labels = [matcher.label(score) for score in scores]
    scored = ((*v, s, b) for (_, v), s, b in zip(rows, scores, labels, strict=True))
    write_csv(out, [*header, *added], scored, arguments.force)
    counts = Counter(labels)
    shares = ", ".join(f"{counts[label]} {label}" for label in LABELS)
    print(f"{len(scores)} pairs scored ({shares}): {out}")


def load(arguments: argparse.Namespace) -> Matcher:
    """The matcher; torch and transformers are imported here and not before."""
    with progress("Loading libraries", None):
        from jdcv_core.matcher import Matcher

    return Matcher.from_pretrained(arguments.model, arguments.device, arguments.precision)


def read_text(path: Path) -> str:
    """The text of a file. Raises InputError if it has none, or is no text."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(str(path), f"{error.strerror}", "check the path") from error
    for start, kind in PACKED.items():
        if data.startswith(start):
            raise InputError(str(path), f"it is {kind}, not text", "extract its text first")
    text = decode(data)
    if fault := text_fault("the text", text, sys.maxsize):
        raise InputError(str(path), fault[1], fault[2])
    return text


def read_pairs(path: Path, names: tuple[str, str], added: Sequence[str]) -> tuple[list[str], Rows]:
    """The header and all rows of a CSV file, every text of a pair checked.

    names: the columns of CV and JD; added: columns that must not be there yet
    """
    header = read_header(path)
    for name, option in zip(names, ("--cv-column", "--jd-column"), strict=True):
        if name not in header:
            cure = f"give {option}=NAME; {hint(name[:40], [h[:40] for h in header])}"
            raise InputError(str(path), f"there is no column {name!r}", cure)
    for name, option in zip(added, ("--score-column", "--label-column"), strict=True):
        if name in header:
            what = f"it has a column {name!r} already"
            raise InputError(str(path), what, f"give {option}=NAME for the new one")
    rows = list(read_table(path, header))
    if not rows:
        raise InputError(str(path), "there is no row below the header", "give pairs of texts")
    for place, values in rows:
        for name in names:
            if fault := text_fault(name, values[header.index(name)], sys.maxsize):
                raise InputError(f"{path}, {place}", fault[1], fault[2])
    return header, rows


def read_header(path: Path) -> list[str]:
    """The first line of a CSV file that is not empty."""
    if path.suffix.lower() != ".csv":
        raise InputError(str(path), "it is not called .csv", "give a CSV file with a header")
    csv.field_size_limit(LARGEST_FIELD)
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            return next((fields for fields in csv.reader(file) if fields), [])
    except OSError as error:
        raise InputError(str(path), f"{error.strerror}", "check the path") from error
    except csv.Error as error:
        raise InputError(
            str(path), f"its header is broken ({error})", "check its quotes"
        ) from error


def check_out(path: Path, force: bool) -> None:
    """Refuse a file that cannot or must not be written, before any work is done."""
    if path.exists() and not path.is_file():
        raise InputError(str(path), "it is not a file", "give the name of a new CSV file")
    if path.exists() and not force:
        raise InputError(str(path), "it is there already", "give another name, or --force")
    if not path.absolute().parent.is_dir():
        raise InputError(str(path), "its folder is not there", "make the folder first")
    if not os.access(path.absolute().parent, os.W_OK):
        raise InputError(str(path), "its folder is read-only", "choose another folder")


def write_csv(path: Path, header: Sequence[str], rows: Any, force: bool) -> None:
    """Write a CSV file under another name, then rename it: there is the whole file, or none."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        # surrogateescape: bytes of other columns that are not UTF-8 go out as they came in.
        with partial.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(header)
            writer.writerows(rows)
            file.flush()
            os.fsync(file.fileno())
        check_out(path, force)  # again: somebody may have written it meanwhile
        partial.replace(path)
    except OSError as error:
        raise InputError(str(path), f"{error.strerror}", "free space, or choose another") from error
    finally:
        partial.unlink(missing_ok=True)


def _say(text: str, style: str) -> None:
    console.print(text, style=style, soft_wrap=True, markup=False, highlight=False)


if __name__ == "__main__":
    sys.exit(main())
