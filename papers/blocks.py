"""What a report is made of: headings, paragraphs, lists, tables, figures. Plain dicts, so that
Typst can read them as JSON; here they become Markdown.

Text may hold `code` and **strong** words, as in Markdown, and nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

Block = dict[str, Any]
MARKS = re.compile(r"`([^`]+)`|\*\*([^*]+)\*\*")


def heading(level: int, text: str) -> Block:
    return {"kind": "heading", "level": level, "text": text, "plain": text}


def paragraph(text: str) -> Block:
    return {"kind": "paragraph", "text": text}


def bullets(items: Iterable[str]) -> Block:
    return {"kind": "list", "items": list(items)}


def table(
    caption: str, head: Sequence[str], rows: Iterable[Sequence[str]], bold: Iterable[int] = ()
) -> Block:
    """bold: the numbers of rows that stand out."""
    rows = [list(row) for row in rows]
    for row in rows:
        if len(row) != len(head):
            raise ValueError(f"{caption}: {len(row)} cells under {len(head)} headings: {row}")
    return {
        "kind": "table",
        "caption": caption,
        "head": list(head),
        "rows": rows,
        "bold": sorted(bold),
    }


def figure(name: str, draw: str, data: dict[str, Any], caption: str) -> Block:
    """name: of its file; draw: a drawing of drawings.typ."""
    return {"kind": "figure", "name": name, "draw": draw, "data": data, "caption": caption}


def markdown(blocks: Iterable[Block]) -> str:
    return "\n\n".join(_markdown(block) for block in blocks) + "\n"


def as_runs(block: Block) -> Block:
    """The block with its texts parted into runs {style, text}, for report.typ."""
    parted = {
        key: runs(block[key]) for key in ("text", "caption") if isinstance(block.get(key), str)
    }
    if "items" in block:
        parted["items"] = [runs(item) for item in block["items"]]
    return block | parted


def runs(text: str) -> list[dict[str, str]]:
    """
    >>> runs("see `f`")
    [{'style': 'plain', 'text': 'see '}, {'style': 'code', 'text': 'f'}]
    """
    found, at = [], 0
    for mark in MARKS.finditer(text):
        found.append({"style": "plain", "text": text[at : mark.start()]})
        style = "code" if mark[1] else "strong"
        found.append({"style": style, "text": mark[1] or mark[2]})
        at = mark.end()
    found.append({"style": "plain", "text": text[at:]})
    return [run for run in found if run["text"]]


def _markdown(block: Block) -> str:
    if block["kind"] == "heading":
        return f"{'#' * block['level']} {block['text']}"
    if block["kind"] == "paragraph":
        return block["text"]
    if block["kind"] == "list":
        return "\n".join(f"- {item}" for item in block["items"])
    if block["kind"] == "figure":
        plain = "".join(run["text"] for run in runs(block["caption"]))
        return f"![{plain}](figures/{block['name']}.svg)\n\n{block['caption']}"
    rows = [
        [f"**{cell}**" if at in block["bold"] and cell else cell for cell in row]
        for at, row in enumerate(block["rows"])
    ]
    right = [":---", *["---:"] * (len(block["head"]) - 1)]
    lines = [f"| {' | '.join(cells)} |" for cells in (block["head"], right, *rows)]
    return "\n".join([f"{block['caption']}", "", *lines])
