"""A CV that is changed and scored again: its rank among the others, which stay as they are. Ours.

It costs one `Matcher.score`, whatever the number of CVs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from experiments.demo.blind import renamed
from experiments.demo.desk import LOCK, Ranking
from jdcv_core.matcher import Matcher
from jdcv_core.months import as_text, month_from


@dataclass(frozen=True)
class Change:
    """What is changed in a CV; the default changes nothing.

    left_out: numbers of lines that are left out, see `lines_of`
    months:   the CV is read so many months later: what ended is longer ago, and a current job goes
              on. Only for a model whose chunker has a reference month
    old, new: a name, and the one in its place
    """

    left_out: tuple[int, ...] = ()
    months: int = 0
    old: str = ""
    new: str = ""

    def text(self, cv: str) -> str:
        """The text of a CV after the change."""
        gone = set(self.left_out)
        kept = [line for number, line in enumerate(cv.splitlines()) if number not in gone]
        return renamed("\n".join(kept) if gone else cv, self.old, self.new)


@dataclass(frozen=True)
class Outcome:
    """Score and rank of a CV, before and after a change."""

    before: float
    after: float
    rank_before: int
    rank_after: int


def lines_of(cv: str) -> dict[int, str]:
    """Number → text of each line of a CV that is not empty.

    >>> lines_of("Ada\\n\\nSAP")
    {0: 'Ada', 2: 'SAP'}
    """
    return {number: line for number, line in enumerate(cv.splitlines()) if line.strip()}


def later(matcher: Matcher, months: int) -> Matcher:
    """The model when so many months have passed. Its chunker must have a `reference`."""
    reference = as_text(month_from(matcher.chunker.reference) + months)  # type: ignore[attr-defined]
    return replace(matcher, chunker=replace(matcher.chunker, reference=reference))  # type: ignore[type-var]


def knows_months(matcher: Matcher) -> bool:
    """Whether the model reads the months of experiences, so that time can pass."""
    return bool(getattr(matcher.chunker, "reference", None))


def outcome(matcher: Matcher, ranking: Ranking, name: str, cv: str, change: Change) -> Outcome:
    """Score a changed CV, and place it among the others of a ranking.

    name, cv: id and text of the CV; the text may differ from that of the index, as with hidden text

    Raises InputError if no text is left.
    """
    model = later(matcher, change.months) if change.months else matcher
    before = ranking.scores[name]
    with LOCK:
        after = model.score(cv=change.text(cv), jd=ranking.jd)
    return Outcome(before, after, ranking.place(name), ranking.place(name, after))
