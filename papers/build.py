"""Make report.md and report.pdf from the recorded evidence in papers/evidence, and nothing else.

  make report                               # in the repository
  python -m papers.build                    # the same, with typst installed
  python -m papers.build --out /tmp/report  # elsewhere

The same evidence gives the same bytes. Only the standard library and the `typst` wheel are needed.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from papers import blocks, contents
from papers.evidence import EvidenceError, read_evidence
from papers.notes import read_notes

HERE = Path(__file__).parent


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=HERE, help="folder of the report")
    parser.add_argument("--evidence", type=Path, default=HERE / "evidence", help="what is read")
    options = parser.parse_args()
    try:
        build(options.evidence, options.out)
    except EvidenceError as fault:
        sys.exit(f"Error: {fault}")
    print(f"{options.out / 'report.md'}\n{options.out / 'report.pdf'}")


def build(evidence: Path, out: Path) -> None:
    """Write report.md, report.pdf and the figures of report.md, `figures/*.svg`, into `out`.

    Raises EvidenceError for evidence or notes that are missing or are not what they should be.
    """
    found = contents.report(read_evidence(evidence), read_notes(HERE))
    (out / "figures").mkdir(parents=True, exist_ok=True)
    for old in (out / "figures").glob("*.svg"):
        old.unlink()
    for block in found:
        if block["kind"] == "figure":
            drawing = _typst("figure.typ", "svg", block=block)
            (out / "figures" / f"{block['name']}.svg").write_bytes(drawing)
    (out / "report.md").write_text(blocks.markdown(found), encoding="utf-8")
    pages = _typst("report.typ", "pdf", blocks=[blocks.as_runs(block) for block in found])
    (out / "report.pdf").write_bytes(pages)


def _typst(template: str, kind: str, **inputs: Any) -> bytes:
    """Only embedded fonts and no clock, so that the bytes hang on the input alone."""
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
