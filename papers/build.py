"""Make report.md and report.pdf from report.template.md and the recorded evidence.

  make report                               # in the repository
  python -m papers.build                    # the same, with jinja2 and typst installed
  python -m papers.build --out /tmp/report  # elsewhere

The same evidence gives the same bytes. Only the standard library, jinja2 and typst are needed.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from statistics import mean
from typing import Any

from jinja2 import Environment, StrictUndefined, UndefinedError

from jdcv_core.evaluation.formats import short
from papers import drawn
from papers.evidence import (
    FOREST,
    KINDS,
    MAIN,
    NAMES,
    RANKING,
    Ablation,
    EvidenceError,
    Json,
    read_evidence,
)
from papers.notes import Note, read_notes

HERE = Path(__file__).parent
TEMPLATE = "report.template.md"
MARKS = re.compile(r"`([^`]+)`|\*\*([^*]+)\*\*")
Block = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=HERE, help="folder of the report")
    parser.add_argument("--evidence", type=Path, default=HERE / "evidence", help="evidence to read")
    options = parser.parse_args()
    try:
        build(options.evidence, options.out)
    except EvidenceError as fault:
        sys.exit(f"Error: {fault}")
    print(f"{options.out / 'report.md'}\n{options.out / 'report.pdf'}")


def build(evidence: Path, out: Path) -> None:
    """Write report.md, report.pdf and the figures of report.md, `figures/*.svg`, into `out`.

    Raises EvidenceError for missing or malformed evidence or notes, and for a key of the template
    that the evidence does not have.
    """
    ablations, statistics = read_evidence(evidence)
    text, drawings = fill(ablations, statistics, read_notes(HERE))
    (out / "figures").mkdir(parents=True, exist_ok=True)
    for old in (out / "figures").glob("*.svg"):
        old.unlink()
    for name, drawing in drawings.items():
        (out / "figures" / f"{name}.svg").write_bytes(_typst("figure.typ", "svg", block=drawing))
    (out / "report.md").write_text(text, encoding="utf-8")
    (out / "report.pdf").write_bytes(_typst("report.typ", "pdf", blocks=blocks(text, drawings)))


def fill(
    ablations: list[Ablation],
    statistics: Json | None,
    notes: list[Note],
    template: str | None = None,
) -> tuple[str, dict[str, Block]]:
    """Fill the template with values from the evidence.

    template: text of the template; None means that of TEMPLATE

    Returns the Markdown, and a drawing for each figure by the name of its file. Raises
    EvidenceError for a key that the evidence does not have, and for a row or dataset without notes.
    """
    drawings: dict[str, Block] = {}

    def draw(kind: str, ablation: Ablation, data: dict[str, Any], caption: str) -> str:
        name = f"{ablation.name}-{'differences' if kind == 'forest' else kind}"
        drawings[name] = {"kind": "figure", "draw": kind, "data": data, "caption": runs(caption)}
        return f"![{caption.replace('**', '')}](figures/{name}.svg)\n\n{caption}"

    environment = Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {
        "short": short, "number": "{:,}".format, "listed": listed, "span": span, "mean": mean,
        "capital": lambda text: text[:1].upper() + text[1:], "kind": KINDS.__getitem__,
        "percent": lambda share, digits=1: f"{share:.{digits}%}", "name": NAMES.__getitem__,
    }  # fmt: skip
    first = {a.facts["data"]["fingerprint"]: a for a in reversed(ablations)}
    environment.globals |= {
        "ablations": ablations, "statistics": statistics, "kinds": KINDS, "forest": FOREST,
        "names": NAMES, "main_metrics": list(MAIN), "ranking_metrics": list(RANKING),
        "first_of_each_dataset": [a for a in ablations if a in first.values()],
        "methods": methods(ablations, notes), "card": lambda a: _card(a, notes),
        "head": lambda cells: f"{line(cells)}\n{line([':---', *['---:'] * (len(cells) - 1)])}",
        "line": line,
        "and": lambda loop: "" if loop.last else " and " if loop.revindex0 == 1 else ", ",
        "draw_forest": lambda a, text: draw("forest", a, drawn.forest(a), text),
        "draw_reliability": lambda a, text: draw("reliability", a, drawn.reliability(a), text),
    }  # fmt: skip
    try:
        text = environment.from_string(template or (HERE / TEMPLATE).read_text("utf-8")).render()
    except (UndefinedError, KeyError) as fault:
        what = "the evidence lacks a key that the template uses"
        raise EvidenceError(f"{HERE / TEMPLATE}: {what} ({fault}).") from fault
    text = re.sub(r"\n{3,}", "\n\n", text).strip()  # empty lines from loops and conditions
    return re.sub(r"(?m)^(- .*)\n\n(?=- )", r"\1\n", text) + "\n", drawings


def methods(ablations: list[Ablation], notes: list[Note]) -> list[Note]:
    """Sort the notes: first those on rows, in the order of the tables, then the others.

    Raises EvidenceError for a row without a page.
    """
    by_row = {row: note for note in notes for row in note.rows}
    order: dict[str, Note] = {}
    for ablation in ablations:
        for row in ablation.table["rows"]:
            if row["name"] not in by_row:
                raise EvidenceError(
                    f"papers: no page has the row {row['name']!r} of {ablation.name} in its line "
                    "'Rows: …'. Write a page, or add the row to one."
                )
            order.setdefault(by_row[row["name"]].file, by_row[row["name"]])
    return [*order.values(), *(n for n in notes if not n.rows and not n.data)]


def _card(ablation: Ablation, notes: list[Note]) -> Note:
    name = ablation.facts["data"]["name"]
    for note in notes:
        if note.data == name:
            return note
    what = f"no page has the line 'Data: {name}', the data of {ablation.name}"
    raise EvidenceError(f"papers: {what}. Write a page.")


def line(cells: list[Any], bold: bool = False) -> str:
    """Format a line of a Markdown table."""
    texts = [f"**{cell}**" if bold and str(cell) else str(cell) for cell in cells]
    return f"| {' | '.join(texts)} |"


def listed(words: list[str]) -> str:
    *first, last = list(words)
    return f"{', '.join(first)} and {last}" if first else last


def span(values: Any) -> str:
    """Format the smallest and the largest of some counts."""
    each = list(values)
    low, high = min(each), max(each)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def blocks(text: str, drawings: dict[str, Block]) -> list[Block]:
    """Split Markdown into blocks for report.typ: headings, paragraphs, lists, tables, figures."""
    found: list[Block] = []
    parts = text.strip().split("\n\n")
    for at, part in enumerate(parts):
        if image := re.fullmatch(r"!\[.*\]\(figures/(.+)\.svg\)", part):
            found.append(drawings[image[1]])
        elif at and parts[at - 1].startswith("!["):
            continue  # the caption, which is part of the drawing
        elif part.startswith("#"):
            marks, _, title = part.partition(" ")
            found.append({"kind": "heading", "level": len(marks), "text": runs(title)})
        elif part.startswith("- "):
            items = [runs(item.removeprefix("- ")) for item in part.split("\n")]
            found.append({"kind": "list", "items": items})
        elif part.startswith("|"):
            rows = [[cell.strip() for cell in row.split("|")[1:-1]] for row in part.split("\n")]
            cells = [[runs(cell) for cell in row] for row in rows[2:]]
            found[-1] = {"kind": "table", "caption": found[-1]["text"], "head": rows[0],
                         "rows": cells}  # fmt: skip
        else:
            found.append({"kind": "paragraph", "text": runs(part)})
    return found


def runs(text: str) -> list[dict[str, str]]:
    """Split a line into plain, bold and code parts.

    >>> runs("see `f`")
    [{'style': 'plain', 'text': 'see '}, {'style': 'code', 'text': 'f'}]
    """
    found, at = [], 0
    for mark in MARKS.finditer(text):
        found.append({"style": "plain", "text": text[at : mark.start()]})
        found.append({"style": "code" if mark[1] else "strong", "text": mark[1] or mark[2]})
        at = mark.end()
    found.append({"style": "plain", "text": text[at:]})
    return [run for run in found if run["text"]]


def _typst(template: str, kind: str, **inputs: Any) -> bytes:
    """Run typst with embedded fonts and without a clock: only the input determines the bytes."""
    import typst

    made = typst.compile(
        HERE / template,
        root=HERE,
        format=kind,
        sys_inputs={name: json.dumps(value) for name, value in inputs.items()},
        ignore_system_fonts=True,
        timestamp=0,
    )
    return made if isinstance(made, bytes) else b"".join(made)


if __name__ == "__main__":
    main()
