"""Figures as text, the same on the terminal, in table.md and in the report. No library is needed.

A figure that is undefined is nan, or None as in JSON, and reads n/a.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

UNDEFINED = "n/a"


def undefined(value: float | None) -> bool:
    return value is None or math.isnan(value)


def short(value: float | None, digits: int = 3, sign: bool = False) -> str:
    """.512 for 0.512, -.034 for -0.034, 1.000 for 1."""
    if value is None or math.isnan(value):
        return UNDEFINED
    text = f"{value:+.{digits}f}" if sign else f"{value:.{digits}f}"
    return text.replace("0.", ".", 1) if abs(float(text)) < 1 else text


def with_spread(mean: float | None, deviation: float | None) -> str:
    """.512±.03; the mean alone where one seed has no deviation."""
    if undefined(mean) or undefined(deviation):
        return short(mean)
    return f"{short(mean)}±{short(deviation, 2)}"


def interval(value: float | None, low: float | None, high: float | None) -> str:
    """+.034 [+.003, +.064]"""
    if undefined(value):
        return UNDEFINED
    return f"{short(value, sign=True)} [{short(low, sign=True)}, {short(high, sign=True)}]"


def difference(found: Mapping[str, Any]) -> str:
    """+.034 [+.003, +.064] p .012, and the verdict where it is a tie.

    found: of one row and metric, from `evaluation.compare.compare`
    """
    if undefined(found["difference"]):
        return UNDEFINED
    holm = found.get("p_holm")
    p = "" if undefined(holm) else f" p {p_value(holm)}"
    tie = f"  {found['verdict']}" if found["verdict"].startswith("tie") else ""
    return interval(found["difference"], found["low"], found["high"]) + p + tie


def sign(found: Mapping[str, Any]) -> str:
    """+ better, - worse, = tie; nothing where it is undefined."""
    if undefined(found["difference"]):
        return ""
    return {"better": "+", "worse": "-"}.get(found["verdict"], "=")


def p_value(value: float | None) -> str:
    return "<.001" if value is not None and value < 0.001 else short(value)
