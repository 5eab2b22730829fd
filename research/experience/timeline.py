"""A CV's experiences as plain values: what a timeline shows. Ours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from jdcv_core.months import as_text
from research.experience.date_range import DateRange
from research.experience.parsed_cv import ParsedCV


def timeline(
    text: str,
    parsed: ParsedCV,
    f: nn.Module | None = None,
    score: Callable[[str], float] | None = None,
) -> list[dict[str, Any]]:
    """The experiences of a CV in order of appearance.

    parsed: what was read of the text
    f:      of (duration, recency) in months → the weight, which is then given as a share of the sum
            over experiences
    score:  P of an experience's own text, in [0, 1]
    Each has place, title, employer, from, to ("current" for an open end), months, recency, weight,
    score, doubts, fault; weight and score are None where not asked or where the dates are at fault.
    from and to are as written, "unknown" for a masked year; months count to the reference at most.
    """
    reference = parsed.reference
    entries: list[dict[str, Any]] = []
    for place, e in enumerate(parsed.experiences):
        interval, months = e.interval(reference), 0 if e.fault else e.months(reference)
        entry = {
            "place": place,
            "title": e.title,
            "employer": e.employer,
            "from": "unknown" if e.dates.unknown else as_text(e.dates.start),
            "to": _end_of(e.dates),
            "start": interval.start,
            "end": interval.end,
            "months": months,
            "recency": max(0, reference - interval.end),
            "weight": None,
            "score": None,
            "doubts": list(e.dates.doubts),
            "fault": e.fault,
        }
        if score is not None and text[e.start : e.end].strip():
            entry["score"] = score(text[e.start : e.end])
        if f is not None and not e.fault:
            both = torch.tensor([float(months), float(reference - interval.end)])
            with torch.inference_mode():
                entry["weight"] = float(f(both[:1], both[1:].clamp_min(0))[0])
        entries.append(entry)
    total = sum(e["weight"] for e in entries if e["weight"] is not None)
    for entry in entries:
        if entry["weight"] is not None and total > 0:
            entry["weight"] /= total
    return entries


def _end_of(dates: DateRange) -> str:
    """As it is written: also where it lies after the reference."""
    if dates.end is None:
        return "current"
    return "unknown" if dates.unknown else as_text(dates.end)
