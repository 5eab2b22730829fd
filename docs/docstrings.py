"""Convert the layout of our docstrings to Markdown for the API reference.

Three things differ from Markdown: a list of arguments is written `name: meaning`, an example
starts with `>>>`, and a formula is indented (which Markdown shows as code already).
"""

import re
from typing import Any

import griffe

ENTRY = re.compile(r"^(\w+(?:, \w+)*):\s+(\S.*)$")


class Docstrings(griffe.Extension):
    """Rewrites each docstring after griffe has read it."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        if obj.docstring is not None:
            blocks = obj.docstring.value.split("\n\n")
            obj.docstring.value = "\n\n".join(as_markdown(block) for block in blocks)


def as_markdown(block: str) -> str:
    """Convert one paragraph of a docstring to Markdown."""
    lines = block.strip("\n").split("\n")
    if lines[0].lstrip().startswith(">>>"):
        return "\n".join(
            [
                "```python",
                *(line.strip() if line.startswith(" ") else line for line in lines),
                "```",
            ]
        )
    if not any(ENTRY.match(line) for line in lines) or lines[0].startswith(" "):
        return block
    found = []
    for line in lines:
        if entry := ENTRY.match(line):
            found.append(f"- `{entry[1]}`: {entry[2]}")
        elif line.startswith(" ") and found:
            found.append(f"  {line.strip()}")  # continues the entry above
        else:
            found += ["", line]
    return "\n".join(found)
