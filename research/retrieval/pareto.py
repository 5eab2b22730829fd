"""Which setting of a retriever to take: recall against queries a second."""

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Point:
    """One setting of a retriever.

    name:       of the setting, such as "ivf, 8 probes"
    recall:     in [0, 1], such as the mean of `document_recall`
    per_second: queries a second, ≥ 0
    Raises ValueError for a number outside these, nan included.
    """

    name: str
    recall: int | float
    per_second: int | float

    def __post_init__(self) -> None:
        if not 0 <= self.recall <= 1:
            raise ValueError(f"the recall of {self.name} is {self.recall}, not in [0, 1]")
        if not 0 <= self.per_second < math.inf:
            raise ValueError(f"the speed of {self.name} is {self.per_second} queries/s")


@dataclass(frozen=True)
class Recommendation:
    """The setting to take; `str` of it is one sentence.

    reached: whether the point has at least `least_recall`
    among:   how many settings were compared
    """

    point: Point
    least_recall: int | float
    reached: bool
    among: int

    def __str__(self) -> str:
        p, least = self.point, f"{self.least_recall:g}"
        # Rounded down, so that no recall seems to reach what it misses.
        recall = math.floor(round(p.recall * 1000, 6)) / 1000
        has = f"{recall:.3f}, {p.per_second:,.0f} queries/s"
        if self.reached:
            why = f"of {self.among} compared, the fastest with a recall of at least {least}"
        else:
            why = f"of {self.among} compared, none has a recall of {least}, and it has the most"
        return f"Take {p.name}: {why} ({has})."


def pareto(points: Sequence[Point]) -> list[Point]:
    """The points worth choosing from: no other point is better in recall or speed and at least as
    good in the other.

    Returns them by recall ascending, so by speed descending; equal points all stay, by name.
    """
    front: list[Point] = []
    for point in sorted(points, key=lambda p: (-p.recall, -p.per_second, p.name)):
        best = front[-1] if front else None
        same = best and (best.recall, best.per_second) == (point.recall, point.per_second)
        if best is None or same or point.per_second > best.per_second:
            front.append(point)
    return sorted(front, key=lambda p: (p.recall, p.name))


def recommend(points: Sequence[Point], least_recall: int | float = 0.98) -> Recommendation:
    """The fastest point with a recall of at least `least_recall`; if there is none, the point with
    the highest recall.

    Of equally fast points the one with the higher recall is taken, of equal recall the faster one,
    then the first by name. The choice is on the front of `pareto`. Raises ValueError without a
    point.

    >>> str(recommend([Point("flat", 1.0, 90.0), Point("ivf", 0.987, 400.0)], least_recall=0.9))
    'Take ivf: of 2 compared, the fastest with a recall of at least 0.9 (0.987, 400 queries/s).'
    """
    if not points:
        raise ValueError("there is no point to choose from")
    enough = [p for p in points if p.recall >= least_recall]
    if enough:
        point = min(enough, key=lambda p: (-p.per_second, -p.recall, p.name))
    else:
        point = min(points, key=lambda p: (-p.recall, -p.per_second, p.name))
    return Recommendation(point, least_recall, bool(enough), len(points))
