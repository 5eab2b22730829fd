"""What a search shows of each document that it found: scores, common words, chunk pairs with their
texts, and the experiences of the CV that the chunks belong to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from jdcv_core.errors import names
from jdcv_core.evaluation.formats import shortened
from research.experience.parsing import parse_cv
from research.retrieval.index_folder import IndexFolder
from research.retrieval.search import Candidate
from research.retrieval.segment import Entry

if TYPE_CHECKING:
    from jdcv_core.requirements import Requirement

SHOWN, HALF = 160, 72
"""Characters of a chunk that are printed, and of a requirement and its answer."""
REQUIREMENTS, MISSING = 4, 3
"""Requirements that are printed of a match: with an answer, and missing."""


@dataclass(frozen=True)
class ChunkPair:
    """A chunk of the query and the chunk of the document that it matches.

    cosine:          of their vectors, in [-1, 1]
    query, document: the whole texts of both chunks
    """

    cosine: float
    query: str
    document: str


@dataclass(frozen=True, repr=False)
class Match:
    """A document that a search found. `print` shows it as lines of text.

    id:          of the document
    score:       by which matches are ordered: of the reranker, in [0, 1], or else of words and
                 vectors: deviations above the mean document, see `fused_scores.fused`; where one
                 of them has no weight, the other one
    words:       cosine of TF-IDF vectors, in [0, 1]; None if words have no weight
    maxsim:      MaxSim of all chunk pairs, in [-1, 1], see `late_interaction.maxsim`; None if
                 vectors have no weight
    common:      the common words that add most to `words`, in the form in which they are compared
    pairs:       chunk pairs, the highest cosine first; of at most two chunks of the document
    experiences: titles and dates of the CV's experiences that these chunks touch
    copies:      ids of near-duplicates that were left out for this document, best first
    requirements: what the reranker finds for each line of the JD, in order, if it compares line by
                 line (`CompareAggregate`); printed instead of pairs and experiences

    >>> pair = ChunkPair(0.83, query="Month-end close.", document="Closed the books each month.")
    >>> jobs = ("Accountant (08/2014-05/2015)",)
    >>> match = Match("17", 2.1, 0.31, 0.55, ("month", "close"), (pair,), jobs)
    >>> match
    <Match '17' score=2.1000 words=0.3100 maxsim=0.5500>
    >>> print(match)
    17  score 2.1000  words 0.3100  maxsim 0.5500
         month, close
         0.830  Month-end close.  ↔  Closed the books each month.
         Accountant (08/2014-05/2015)
    """

    id: str
    score: float
    words: float | None = None
    maxsim: float | None = None
    common: tuple[str, ...] = ()
    pairs: tuple[ChunkPair, ...] = ()
    experiences: tuple[str, ...] = ()
    copies: tuple[str, ...] = ()
    requirements: tuple[Requirement, ...] = ()

    def __repr__(self) -> str:
        numbers = [f"{name}={value:.4f}" for name, value in self._numbers()]
        return f"<Match {self.id!r} {' '.join(numbers)}>"

    def _numbers(self) -> list[tuple[str, float]]:
        every = ("score", self.score), ("words", self.words), ("maxsim", self.maxsim)
        return [(name, value) for name, value in every if value is not None]

    def __str__(self) -> str:
        pairs = [
            f"{p.cosine:.3f}  {shortened(p.query, SHOWN)}  ↔  {shortened(p.document, SHOWN)}"
            for p in self.pairs
        ]
        common = [", ".join(self.common)] if self.common else []
        shown = self._requirement_lines() if self.requirements else [*pairs, *self.experiences]
        lines = [f"     {line}" for line in (*common, *shown)]
        if self.copies:
            lines.append(
                f"     {len(self.copies)} more with nearly the same text: {names(self.copies)}"
            )
        numbers = [f"{name} {value:.4f}" for name, value in self._numbers()]
        return "\n".join(["  ".join([self.id, *numbers]), *lines])

    def _requirement_lines(self) -> list[str]:
        """How many requirements are matched, and the most important ones of each state."""
        from jdcv_core.requirements import STATES  # torch: a search without a model needs none

        listed = sorted((r for r in self.requirements if r.listed), key=lambda r: -r.importance)
        by_state = {state: [r for r in listed if r.state == state] for state in STATES}
        matched, partly, missing = by_state.values()
        lines = [f"{len(matched)} matched, {len(partly)} partly, {len(missing)} missing"]
        for r in [*matched, *partly][:REQUIREMENTS]:
            answer = r.answers[0]
            place = f" ({answer.experience})" if answer.experience else ""
            line = f"{r.state} {r.covered:.2f}  {shortened(r.text, HALF)}  ←  "
            lines.append(f"{line}{shortened(answer.text, HALF)}{place}")
        lines += [f"missing {r.covered:.2f}  {shortened(r.text, HALF)}" for r in missing[:MISSING]]
        return lines

    def as_dict(self) -> dict[str, Any]:
        """The same as plain values, with the texts of chunks shortened for a reader."""
        pairs = [
            {
                "cosine": p.cosine,
                "query": shortened(p.query, SHOWN),
                "document": shortened(p.document, SHOWN),
            }
            for p in self.pairs
        ]
        return {
            "id": self.id,
            "score": self.score,
            "words": self.words,
            "maxsim": self.maxsim,
            "common": list(self.common),
            "pairs": pairs,
            "experiences": list(self.experiences),
            "copies": list(self.copies),
            "requirements": [
                {"state": r.state, **asdict(r)} for r in self.requirements if r.listed
            ],
        }


def make_matches(index: IndexFolder, query: Entry, candidates: Sequence[Candidate]) -> list[Match]:
    """Candidates with their common words and the texts of their chunk pairs. query: with its text,
    and with spans if there are pairs."""
    cvs = index.settings.get("side", "cv") == "cv"
    found = []
    for candidate in candidates:
        document = index.entry(candidate.document)
        pairs = [
            ChunkPair(cosine, _piece(query, i), _piece(document, k))
            for i, k, cosine in candidate.pairs
        ]
        cv = document if cvs else query
        spans = [cv.spans[k if cvs else i] for i, k, _ in candidate.pairs]
        experiences = tuple(_experiences(cv.text, spans))
        common: tuple[str, ...] = ()
        if candidate.words is not None:
            common = index.words.common(candidate.document, document.text, query.text)
        numbers = candidate.id, candidate.score, candidate.words, candidate.maxsim
        found.append(Match(*numbers, common, tuple(pairs), experiences, candidate.copies))
    return found


def _piece(entry: Entry, chunk: int) -> str:
    start, end = entry.spans[chunk]
    return entry.text[start:end]


def _experiences(cv: str, spans: Sequence[tuple[int, int]]) -> list[str]:
    """Titles and dates of the experiences that overlap some spans of a CV."""
    return [
        f"{e.title or 'experience'} ({cv[e.dates.at : e.dates.to]})"
        for e in parse_cv(cv).experiences
        if any(e.start < end and start < e.end for start, end in spans)
    ]
