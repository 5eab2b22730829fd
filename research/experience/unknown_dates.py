"""Dates of which a part cannot be known: masked years, and languages that are not read. Ours."""

from __future__ import annotations

from research.experience.connectors import (
    CONNECTOR,
    LONGEST,
    LOST,
)
from research.experience.date_range import AtomText, DateRange, Read
from research.experience.points import (
    NEAR,
)


def masked_range(own: AtomText, i: int) -> Read | None:
    """03/20XX - 05/20XX, `April - August 20XX`: a range of which a year is masked."""
    if not own.masks:
        return None
    first = _masked_side(own, i)
    if first is None:
        return None
    gap = own.gap(own.atoms[first - 1].end, first)
    if gap is None or not (CONNECTOR.fullmatch(gap) or LOST.fullmatch(gap)):
        return None
    last = first + 1 if own.atoms[first].kind == "open" else _masked_side(own, first)
    if last is None or all(atom.kind != "masked" for atom in own.atoms[i:last]):
        return None
    at, to = own.atoms[i].start, own.atoms[last - 1].end
    return DateRange(at, to, 0, 0, "range", "year", unknown="the year is masked"), last


def _masked_side(own: AtomText, i: int) -> int | None:
    """The atom after a date whose year may be masked: `03/20XX`, `Jan 20XX`, `2015`, `March`."""
    for j in range(i, min(i + 3, len(own.atoms))):
        atom, before = own.atoms[j], own.atoms[j - 1]
        if j > i and (
            atom.kind in ("month", "season", "open")
            or (before.kind == "number" and len(before.text) == 4)
            or not NEAR.fullmatch(own.text, before.end, atom.start)
        ):
            break
        if atom.kind == "masked":
            return j + 1
    point = own.point(i)
    return None if point is None else point[1]


def is_in_part(own: AtomText, i: int, j: int) -> bool:
    """Whether a masked year, or a month in a language that is not read, stands at atoms i to j."""
    start, end = own.atoms[i].start, own.atoms[j - 1].end
    if i and own.atoms[i - 1].kind in ("masked", "foreign"):
        gap = own.text[own.atoms[i - 1].end : start]
        if len(gap) <= LONGEST and (CONNECTOR.fullmatch(gap) or not gap.strip(" -/.,")):
            return True
    after = own.gap(end, j)
    if after is None or own.atoms[j].kind not in ("masked", "foreign"):
        return False
    return CONNECTOR.fullmatch(after) is not None or not after.strip(" .,")
