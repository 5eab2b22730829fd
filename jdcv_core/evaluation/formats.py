"""Format figures and texts in the same way on the terminal, in table.md and in the report.

An undefined figure is nan (or None, as in JSON) and is shown as n/a. No library is imported.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

UNDEFINED = "n/a"


def undefined(value: float | None) -> bool:
    return value is None or math.isnan(value)


def short(value: float | None, digits: int = 3, sign: bool = False) -> str:
    """Format a number without a leading zero: .512 for 0.512, -.034 for -0.034, 1.000 for 1."""
    if value is None or math.isnan(value):
        return UNDEFINED
    text = f"{value:+.{digits}f}" if sign else f"{value:.{digits}f}"
    return text.replace("0.", ".", 1) if abs(float(text)) < 1 else text


def with_spread(mean: float | None, deviation: float | None) -> str:
    """Format mean and deviation, .512±.03, or only the mean if one seed gives no deviation."""
    if undefined(mean) or undefined(deviation):
        return short(mean)
    return f"{short(mean)}±{short(deviation, 2)}"


def interval(value: float | None, low: float | None, high: float | None) -> str:
    """Format a difference with its interval, +.034 [+.003, +.064]."""
    if undefined(value):
        return UNDEFINED
    return f"{short(value, sign=True)} [{short(low, sign=True)}, {short(high, sign=True)}]"


def difference(found: Mapping[str, Any]) -> str:
    """Format a difference, +.034 [+.003, +.064] p .012, with the verdict if it is a tie.

    found: the entry of one row and metric in the result of `evaluation.compare.compare`
    """
    if undefined(found["difference"]):
        return UNDEFINED
    holm = found.get("p_holm")
    p = "" if undefined(holm) else f" p {p_value(holm)}"
    tie = f"  {found['verdict']}" if found["verdict"].startswith("tie") else ""
    return interval(found["difference"], found["low"], found["high"]) + p + tie


def sign(found: Mapping[str, Any]) -> str:
    """Return + for better, - for worse, = for a tie, and "" if the verdict is undefined."""
    if undefined(found["difference"]):
        return ""
    return {"better": "+", "worse": "-"}.get(found["verdict"], "=")


def p_value(value: float | None) -> str:
    return "<.001" if value is not None and value < 0.001 else short(value)


def shortened(text: str, most: int) -> str:
    """The text in one line of at most `most` characters."""
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[: most - 1]}…"
