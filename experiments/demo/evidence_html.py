"""A JD's requirements and the lines of a CV that answer them, as HTML in which no character of a
document is markup. Ours."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from experiments.demo.inert import html_of
from jdcv_core.requirements import STATES, Requirement

COLOURS = dict(zip(STATES, ("27,120,55", "224,130,20", "178,24,43"), strict=True))
"""Red, green and blue of each state."""
Shown = Callable[[str], str]
"""What is shown of a text, such as without names in blind mode."""


def numbered(requirements: Sequence[Requirement]) -> dict[int, Requirement]:
    """Number → requirement, the most important first; those of negligible importance have none."""
    listed = sorted((r for r in requirements if r.listed), key=lambda r: -r.importance)
    return dict(enumerate(listed, start=1))


def requirements_html(numbers: dict[int, Requirement], shown: Shown) -> str:
    """The requirements with their state, and the line that answers each."""
    return "".join(_requirement(number, r, shown) for number, r in numbers.items())


def _requirement(number: int, r: Requirement, shown: Shown) -> str:
    about = f"{number} · {r.state} · importance {r.importance:.2f} · covered {r.covered:.2f}"
    parts = [f"<b>{html_of(about)}</b><br>{html_of(r.text.strip())}"]
    if r.state != STATES[-1]:
        for answer in r.answers[:2]:
            place = f" ({answer.experience})" if answer.experience else ""
            said = shown(answer.text.strip() + place)
            parts.append(f"<br><span style='opacity:.75'>← {html_of(said)}</span>")
    colour = COLOURS[r.state]
    style = f"border-left:4px solid rgb({colour});padding:.2em .6em;margin:.5em 0"
    return f"<div style='{style}'>{''.join(parts)}</div>"


def cv_html(cv: str, numbers: dict[int, Requirement], shown: Shown) -> str:
    """The whole CV; a line that answers requirements has their colour and numbers."""
    spans: dict[tuple[int, int], list[int]] = {}
    for number, r in numbers.items():
        for answer in r.answers if r.state != STATES[-1] else ():
            spans.setdefault(_stripped(cv, answer.start, answer.end), []).append(number)
    parts, at = [], 0
    for (start, end), own in sorted(spans.items()):
        if start < at:
            continue
        parts.append(html_of(shown(cv[at:start])))
        state = min((numbers[n].state for n in own), key=STATES.index)
        style = f"background:rgba({COLOURS[state]},.25);color:inherit"
        marks = ", ".join(map(str, own))
        text = html_of(shown(cv[start:end]))
        parts.append(f"<mark style='{style}'>{text}<sup><b>{marks}</b></sup></mark>")
        at = end
    parts.append(html_of(shown(cv[at:])))
    return f"<div style='white-space:pre-wrap'>{''.join(parts)}</div>"


def _stripped(text: str, start: int, end: int) -> tuple[int, int]:
    """The same characters without white space at both ends."""
    part = text[start:end]
    return start + len(part) - len(part.lstrip()), end - len(part) + len(part.rstrip())
